"""Runs that are stopped in every way there is, and go on bit for bit."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kallima
from kallima.errors import RunError, TrainingError, UsageError
from tests.conftest import ENVIRONMENT, Command

STEPS = 1200
TRAINING = [
    *("train", "gan", "--data", "ring", "--steps", STEPS, "--batch-size", 64, "--width", 32, "--seed", 3),
    *("--checkpoint-every", 100, "--log-every", 30, "--sample-every", 0, "--device", "cpu"),
]


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kallima", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def newest(run: Path) -> int:
    found = sorted((run / "checkpoints").glob("[0-9]*")) if run.exists() else []
    return int(found[-1].name) if found else -1


def wait_for(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while newest(run) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def content(run: Path) -> dict[str, bytes]:
    last = run / "checkpoints" / f"{STEPS:08d}"
    files = {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
    state = json.loads((last / "state.json").read_text())
    files["state"] = json.dumps({name: state[name] for name in ("step", "positions", "optimizers")}).encode()
    return files | {"events": (run / "events.jsonl").read_bytes()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """A run from start to end in one go."""
    run = tmp_path_factory.mktemp("straight") / "run"
    done = command(*TRAINING, "--out", run)
    assert done.returncode == 0, done.stderr
    return run


def test_killed_twice_it_ends_where_it_would_have(straight: Path, tmp_path: Path, command: Command):
    run = tmp_path / "run"
    for words, step in (([*TRAINING, "--out", run], 200), (["resume", run], 600)):
        process = start(*words)
        wait_for(run, step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert newest(run) < STEPS
    done = command("resume", run)
    assert done.returncode == 0, done.stderr
    assert content(run) == content(straight)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(
    straight: Path, tmp_path: Path, command: Command, number: signal.Signals, code: int
):
    run = tmp_path / "run"
    process = start(*TRAINING, "--out", run)
    wait_for(run, 100, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert f"kallima resume {run}" in said
    assert "Traceback" not in said
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["status"] == "interrupted"
    assert manifest["step"] == newest(run)
    assert command("resume", run).returncode == 0
    assert content(run) == content(straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_script_too(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kallima.api.show_samples", lambda *_, **__: os.kill(os.getpid(), number))
    small: dict[str, Any] = {"data": "ring", "batch_size": 8, "width": 8, "doctor": "off", "sample_every": 3}
    with pytest.raises(kallima.Interrupted, match="stopped at step 3; go on with: kallima resume") as stop:
        kallima.train("gan", **small, steps=9, out=tmp_path / "run")
    again = pickle.loads(pickle.dumps(stop.value))  # from a worker to whoever waits for it
    assert isinstance(again, KeyboardInterrupt)  # so that a loop over trainings ends
    assert (again.run, again.step, again.number) == (tmp_path / "run", 3, number)
    run = kallima.Run(again.run)
    assert (run.status, run.step) == ("interrupted", 3)
    monkeypatch.undo()
    assert kallima.resume(run).step == 9
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_longer_run_is_the_shorter_one_continued(straight: Path, tmp_path: Path):
    torch.set_num_threads(1)
    words = dict(zip(TRAINING[2::2], TRAINING[3::2], strict=True))
    options = {str(name).lstrip("-").replace("-", "_"): value for name, value in words.items()}
    run = kallima.train("gan", **{**options, "steps": 250}, out=tmp_path / "run")
    assert run.status == "finished"
    kallima.resume(run, steps=STEPS)
    assert content(run.path) == content(straight)
    with pytest.raises(UsageError, match="lies behind"):
        kallima.resume(run, steps=100)


@pytest.fixture
def small(tmp_path: Path) -> kallima.Run:
    """A run of a few steps."""
    return kallima.train(
        "gan", data="ring", steps=4, batch_size=8, width=8, checkpoint_every=2, log_every=1, out=tmp_path / "small"
    )


def edit(run: kallima.Run, *keys: str, value: object) -> None:
    path = run.path / "run.json"
    manifest = json.loads(path.read_text())
    place = manifest
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(manifest))


def test_other_arguments_are_refused_by_name(small: kallima.Run):
    edit(small, "arguments", "width", value=16)
    with pytest.raises(RunError, match="width was 8, is 16"):
        kallima.resume(small, steps=8)


def test_other_data_is_refused(small: kallima.Run, tmp_path: Path):
    np.savez(tmp_path / "other.npz", samples=np.random.default_rng(0).normal(size=(64, 2)))
    with pytest.raises(RunError, match="data"):
        kallima.resume(small, steps=8, data=tmp_path / "other.npz")


def test_moved_data_is_found_and_changed_data_noticed(tmp_path: Path):
    first, moved = tmp_path / "first.npz", tmp_path / "moved.npz"
    points = np.random.default_rng(0).normal(size=(64, 2))
    np.savez(first, samples=points)
    run = kallima.train("gan", data=first, steps=2, batch_size=8, width=8, out=tmp_path / "run")
    shutil.move(first, moved)
    with pytest.raises(kallima.KallimaError, match=r"first\.npz"):
        kallima.resume(run, steps=3)
    assert kallima.resume(run, steps=3, data=moved).step == 3
    np.savez(moved, samples=points + 1)
    with pytest.raises(RunError, match="content of the data has changed"):
        kallima.resume(run, steps=4)


def test_a_damaged_checkpoint_is_named(small: kallima.Run):
    (small.path / "checkpoints" / "00000004" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="00000004 is damaged"):
        kallima.resume(small, steps=8)


def test_checkpoints_are_retired_but_the_best_is_kept(tmp_path: Path):
    run = kallima.train(
        "gan", data="ring", steps=60, batch_size=64, width=32, checkpoint_every=10, keep=2, evaluate_every=5,
        out=tmp_path / "run",
    )  # fmt: skip
    state = json.loads((run.path / "checkpoints" / "00000060" / "state.json").read_text())
    scores = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    values = {event["step"]: event["value"] for event in scores if event["name"] == "score/energy-distance"}
    assert sorted(values) == list(range(5, 65, 5))
    best = min(values.values())
    assert state["best"]["value"] == best
    assert values[state["best"]["step"]] == best
    kept = {int(path.name) for path in (run.path / "checkpoints").iterdir()}
    assert {60, state["best"]["step"]} <= kept
    assert len(kept) <= 3


def test_a_run_in_use_and_a_folder_in_use_are_refused(small: kallima.Run, tmp_path: Path):
    with small.locked(), pytest.raises(RunError, match="another process"):
        kallima.resume(small, steps=8)
    with pytest.raises(RunError, match="already holds a run"):
        kallima.train("gan", data="ring", steps=1, out=small.path)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.txt").write_text("mine")
    with pytest.raises(RunError, match="not an empty folder"):
        kallima.train("gan", data="ring", steps=1, out=photos)
    assert [path.name for path in photos.iterdir()] == ["a.txt"]


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path: Path):
    run = tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"phase '(discriminator|generator)' is (nan|inf|-inf) at step \d+.*checkpoint"
    ):
        kallima.train("gan", data="ring", steps=400, batch_size=32, learning_rate=1e30, checkpoint_every=7, out=run)
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["status"] == "failed"
    assert "at step" in manifest["message"]
    left = kallima.load(run)
    assert all(torch.isfinite(p).all() for p in left.parameters())


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(small: kallima.Run, tmp_path: Path):
    before = {path: path.read_bytes() for path in (small.path / "checkpoints" / "00000004").iterdir()}
    largest = max(len(data) for data in before.values())

    def starve() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, largest // 2))

    # a limit on the size of files stands in for the full disk: the same call fails at the same place
    done = subprocess.run(
        [sys.executable, "-m", "kallima", "resume", str(small.path), "--steps", "400"],
        capture_output=True,
        text=True,
        preexec_fn=starve,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "00000004" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert kallima.resume(small, steps=6).status == "finished"
