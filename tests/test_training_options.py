"""The options of a training, each shown to do what it says."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
import torch

import kallima
from kallima.errors import UsageError
from kallima.training import checkpoint
from tests.conftest import ENVIRONMENT

SHORT: dict[str, Any] = {"data": "digits", "batch_size": 16, "width": 8, "log_every": 2, "device": "cpu"}


def weights(run: kallima.Run, step: int) -> dict[str, torch.Tensor]:
    state, _ = checkpoint.load(run.path / "checkpoints" / f"{step:08d}")
    return state["weights"] | {f"average {name}": value for name, value in state["averages"].items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"channels_last": False},
        {"accumulate": 4},
        {"flip": True},
        {"size": 16, "crop": "random", "workers": 2},
        {"schedule": "cosine", "warm_up": 0.2, "clip": 0.5, "discriminator_steps": 2},
    ],
    ids=lambda options: ",".join(options),
)
def test_an_option_trains_and_resumes_bit_for_bit(options: dict[str, Any], tmp_path: Path):
    straight = kallima.train("dcgan", **SHORT, **options, steps=6, out=tmp_path / "straight")
    # steps are the same from the start: a cosine schedule is stretched over them
    stopped = kallima.train("dcgan", **SHORT, **options, steps=6, checkpoint_every=3, out=tmp_path / "stopped")
    last = stopped.path / "checkpoints" / "00000006"
    last.rename(tmp_path / "aside")
    kallima.resume(stopped)
    assert same(weights(straight, 6), weights(stopped, 6))
    assert (straight.path / "events.jsonl").read_bytes() == (stopped.path / "events.jsonl").read_bytes()
    assert all(value.dtype != torch.bfloat16 for value in weights(straight, 6).values())


def losses(run: kallima.Run) -> list[float]:
    lines = (run.path / "events.jsonl").read_text().splitlines()
    return [event["value"] for event in map(json.loads, lines)]


def test_layout_changes_nothing_but_rounding_and_precision_little(tmp_path: Path):
    runs = {
        name: kallima.train("dcgan", **SHORT, **options, steps=2, out=tmp_path / name)
        for name, options in {
            "last": {},
            "first": {"channels_last": False},
            "half": {"precision": "bf16"},
            "mirrored": {"flip": True},
        }.items()
    }
    assert losses(runs["first"]) == pytest.approx(losses(runs["last"]), rel=1e-4)
    assert losses(runs["half"]) == pytest.approx(losses(runs["last"]), rel=0.2)
    assert losses(runs["half"]) != losses(runs["last"])
    assert losses(runs["mirrored"]) != losses(runs["last"])


def test_a_fused_optimiser_moves_as_the_plain_one_does_whatever_the_layout():
    from kallima.data.dataset import prepare
    from kallima.data.opening import open_source
    from kallima.data.stream import Stream
    from kallima.data.view import View
    from kallima.recipe import get_recipe
    from kallima.training.trainer import Trainer

    dataset = prepare(open_source("digits"), View(16))
    ends = []
    for fused in (True, False):
        torch.manual_seed(0)
        system = get_recipe("dcgan").build(dataset.spec, width=8)
        system.to(memory_format=torch.channels_last)
        device = torch.device("cpu")
        with Stream(dataset, batch_size=8, seed=0, device=device, memory_format=torch.channels_last) as stream:
            trainer = Trainer(system, {"data": stream}, steps=3, fused=fused)
            for _ in range(3):
                trainer.play()
        ends.append({name: value.clone() for name, value in system.state_dict().items()})
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "able", "imitated"),
    [
        ("bf16", {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ("bf16", {"architecture": "x86_64", "avx512_bf16": True}, False),
        ("bf16", {"architecture": "x86_64", "amx_bf16": True}, False),
        ("fp16", {"architecture": "x86_64", "avx512_bf16": True}, True),
        ("bf16", {"architecture": "aarch64"}, False),  # not known
        ("32", {"architecture": "x86_64"}, False),
    ],
)
def test_half_precision_that_is_only_imitated_is_told(
    precision: str,
    able: dict[str, Any],
    imitated: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    options: dict[str, Any] = {"steps": 1, "batch_size": 4, "width": 4, "device": "cpu", "doctor": "off"}
    kallima.train("gan", data="ring", out=tmp_path / "run", precision=precision, sample_every=0, **options)
    assert (f"{precision} is only imitated on this processor" in capsys.readouterr().err) == imitated


def test_seeds_decide(tmp_path: Path):
    runs = [
        kallima.train("dcgan", **SHORT, seed=seed, steps=2, out=tmp_path / str(i)) for i, seed in enumerate((1, 1, 2))
    ]
    assert same(weights(runs[0], 2), weights(runs[1], 2))
    assert not same(weights(runs[0], 2), weights(runs[2], 2))


def test_compiled_phases_take_the_same_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    compiler = torch.compile

    def light(function: Any, **options: Any) -> Any:
        compiled.append(function)
        return compiler(function, **options, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", light)
    eager = kallima.train("dcgan", **SHORT, steps=2, out=tmp_path / "eager")
    other = kallima.train("dcgan", **SHORT, steps=2, compile=True, out=tmp_path / "compiled")
    torch._dynamo.reset()
    assert len(compiled) == 2
    assert len({id(function.__code__) for function in compiled}) == 2  # recompilations are counted per code object
    assert losses(other) == pytest.approx(losses(eager), rel=1e-4)


def test_tensorboard_gets_the_same_scalars(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = kallima.train("dcgan", **SHORT, steps=4, tensorboard=True, out=tmp_path / "run")
    board = EventAccumulator(str(run.path / "tensorboard"))
    board.Reload()
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    for name in {line["name"] for line in lines}:
        expected = [(line["step"], line["value"]) for line in lines if line["name"] == name]
        found = [(event.step, event.value) for event in board.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected], rel=1e-6)


def test_a_terminal_gets_a_bar_with_step_rate_losses_and_time_left(tmp_path: Path):
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, 160))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kallima", "train", "gan", "--data", "ring", "--steps", "300", "--log-every", "20"),
            *("--batch-size", "16", "--width", "8", "--out", str(tmp_path / "run")),
        ],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=ENVIRONMENT,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other side has closed
            break
        shown += part
    os.close(leader)
    out, _ = process.communicate(timeout=60)
    text = shown.decode(errors="replace")
    assert process.returncode == 0, text
    assert "300/300" in text
    assert "points/s" in text
    assert "discriminator " in text
    assert "generator " in text
    assert "\r" in text
    assert out.decode().strip() == str(tmp_path / "run")


def test_nothing_is_read_from_the_device_between_log_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read = []
    for name in ("item", "tolist", "__float__", "__bool__"):
        real = getattr(torch.Tensor, name)

        def noted(tensor: torch.Tensor, *rest: Any, real: Any = real, name: str = name) -> Any:
            read.append(name)
            return real(tensor, *rest)

        monkeypatch.setattr(torch.Tensor, name, noted)
    counts = []
    for steps in (5, 25):
        read.clear()
        options = {**SHORT, "log_every": 1000, "sample_every": 0}
        kallima.train("dcgan", **options, steps=steps, out=tmp_path / str(steps))
        counts.append(len(read))
    assert counts[0] == counts[1]


def test_impossible_options_are_refused_before_anything_is_made(tmp_path: Path):
    out = tmp_path / "run"
    for options, message in [
        ({"batch_size": 10, "accumulate": 4}, "cannot be split"),
        ({"steps": -1}, "at least 0"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"precision": "8"}, "32, bf16 or fp16"),
        ({"widht": 3}, "did you mean 'width'"),
    ]:
        with pytest.raises(UsageError, match=message):
            kallima.train("dcgan", **{**SHORT, **options}, out=out)
    assert not out.exists()


def test_the_plan_says_what_a_training_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    plan = kallima.plan("dcgan", **SHORT, steps=100)
    model = kallima.load(kallima.train("dcgan", **SHORT, steps=0, out=tmp_path / "run"))
    assert sum(plan.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert plan.fields["image"]["height"] == 8
    assert plan.seconds == pytest.approx(100 * plan.seconds_per_step)
    assert plan.memory > 4 * 4 * sum(plan.parameters.values())  # weights, gradients and two moments at least
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "parameters" in str(plan)
