"""The doctor at the bedside: real small trainings, healthy and ill; what it may not disturb; what it does."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import kallima
from kallima.cli import main
from kallima.diagnosis import doctor as doctors
from kallima.diagnosis.doctor import Doctor
from kallima.diagnosis.finding import Finding
from kallima.diagnosis.record import Record
from kallima.errors import UsageError
from kallima.evaluation.score import Score
from kallima.options import TrainingOptions
from kallima.training.trainer import Trainer
from tests.conftest import ENVIRONMENT, Command
from tests.test_resume import newest, wait_for

SMALL: dict[str, Any] = {"data": "ring", "width": 32, "batch_size": 64, "sample_every": 0, "device": "cpu"}
ILL: dict[str, Any] = {**SMALL, "steps": 1200, "discriminator_learning_rate": 0.1, "log_every": 25}
"""The discriminator learns a hundred times as fast as it should."""
WORDS = [word for name, value in ILL.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def symptoms(run: Path | kallima.Run) -> list[str]:
    return [finding.symptom for finding in kallima.diagnose(run)]


def rollbacks(record: Record) -> int:
    return int(record.series("doctor/rollbacks").values.max(initial=0))


def weights(run: Path) -> dict[str, bytes]:
    last = sorted((run / "checkpoints").glob("[0-9]*"))[-1]
    return {path.name: path.read_bytes() for path in last.glob("*.safetensors")}


def test_options_say_what_they_may_be():
    assert TrainingOptions().doctor == "warn"
    for factor in (0, 1.5, -1):
        with pytest.raises(UsageError, match="rollback-factor"):
            TrainingOptions(rollback_factor=factor)


@pytest.fixture(scope="module")
def beaten(tmp_path_factory: pytest.TempPathFactory, command: Command) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run whose discriminator wins, as a newcomer would have it."""
    run = tmp_path_factory.mktemp("beaten") / "run"
    return run, command("train", "gan-minimax", *WORDS, "--out", run)


def test_a_newcomer_is_told_in_a_sentence(beaten: tuple[Path, subprocess.CompletedProcess[str]]):
    run, done = beaten
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("doctor: discriminator wins since step ")]
    assert len(said) == 2  # when it is seen, and at the end
    assert " % sure): " in said[0]
    assert "; try --discriminator-learning-rate " in said[0]
    told = json.loads((run / "diagnosis.json").read_text())
    first = next(finding for finding in told["findings"] if finding["symptom"] == "discriminator wins")
    assert set(first) == {"symptom", "since", "confidence", "evidence", "remedies"}
    assert first["since"] <= 300
    assert first["confidence"] >= 0.8


def test_the_report_shows_what_was_found(beaten: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(beaten[0], run)
    page = (run / "report.html").read_text()
    assert "Discriminator wins <span" in page
    assert "<code>--discriminator-learning-rate 1e-4</code>" in page
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert page.count('<figure class="sheet chart">') == len(charts)
    assert charts[0]["lines"][0]["label"] == "notes/accuracy"
    (run / "diagnosis.json").write_text('{"findings": []}')
    kallima.report(run)
    assert "Nothing looks wrong." in (run / "report.html").read_text()
    for damaged in ("{", '{"findings": [{"symptom": 1}]}', "[]"):
        (run / "diagnosis.json").write_text(damaged)
        kallima.report(run)
        page = (run / "report.html").read_text()
        assert "diagnosis.json, which is damaged" in page
        assert "<h2>Doctor" not in page


def test_the_command_tells_findings(
    beaten: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run, _ = beaten
    assert main(["diagnose", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert found == json.loads((run / "diagnosis.json").read_text())["findings"]
    assert main(["diagnose", "--events", str(run / "events.jsonl")]) == 0
    plain = capsys.readouterr().out
    assert "discriminator wins" in plain
    assert "1.  --discriminator-learning-rate" in plain
    log = tmp_path / "log.csv"
    log.write_text("1,0.7,0.8\n2,0.7,0.8\n")
    assert main(["diagnose", "--events", str(log), "--columns", "step,d_loss,g_loss"]) == 0
    assert capsys.readouterr().out.strip() == "nothing looks wrong"
    for words, told in (
        ([], "a run or --events"),
        ([str(run), "--events", "x"], "not both"),
        (["--events", str(log)], "--columns"),
        ([str(log)], "--events"),
    ):
        assert main(["diagnose", *words]) == 2
        complaint = capsys.readouterr().err
        assert told in complaint
        assert complaint.count("\n") == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_healthy_game_is_left_alone(tmp_path: Path, seed: int):
    options = {**SMALL, "width": 64, "batch_size": 128, "steps": 2000, "seed": seed}
    run = kallima.train("gan", **options, out=tmp_path / "run")
    assert symptoms(run) == []


@pytest.mark.parametrize(
    ("changed", "symptom"),
    [
        ({"learning_rate": 1e-9, "steps": 1700}, "learning has stopped"),
        ({"learning_rate": 0.05, "discriminator_learning_rate": 1e-4}, "mode collapse"),
        ({"learning_rate": 0.5}, "vanishing gradients"),
        ({"discriminator_learning_rate": 1e-8}, "discriminator blind"),
    ],
    ids=str,
)
def test_what_is_provoked_is_found(tmp_path: Path, changed: dict[str, Any], symptom: str):
    options = {**SMALL, "steps": 1300, "log_every": 25} | changed
    assert symptom in symptoms(kallima.train("gan", **options, out=tmp_path / "run"))


def test_what_is_not_finite_ends_the_events(tmp_path: Path):
    with pytest.raises(kallima.TrainingError, match=r" is (nan|inf|-inf) at step \d+"):
        kallima.train("gan", **SMALL, steps=200, optimizer="sgd", learning_rate=1e6, out=tmp_path / "run")
    found = kallima.diagnose(tmp_path / "run")
    assert found[0].symptom == "non-finite values"
    assert found[0].confidence == 1
    assert 0 < found[0].since <= 200


# what it may not disturb


def test_a_training_is_the_same_with_and_without_it(tmp_path: Path):
    for mode in ("off", "warn"):
        options = {"steps": 250, "doctor": mode, "checkpoint_every": 90, "log_every": 30}
        kallima.train("gan", **SMALL, **options, out=tmp_path / mode)
    assert weights(tmp_path / "off") == weights(tmp_path / "warn")
    events = [json.loads(line) for line in (tmp_path / "warn" / "events.jsonl").read_text().splitlines()]
    looks = sorted({event["step"] for event in events if event["name"].startswith("samples/")})
    assert looks == [100, 200, 250]
    others = [event for event in events if not event["name"].startswith("samples/")]
    assert others == [json.loads(line) for line in (tmp_path / "off" / "events.jsonl").read_text().splitlines()]
    assert not (tmp_path / "off" / "diagnosis.json").exists()


def test_it_leaves_generators_and_modes_alone(tmp_path: Path):
    run = kallima.train("gan", **SMALL, steps=4, out=tmp_path / "run")
    system = kallima.load(run, device="cpu")
    seen = doctors.Reference(torch.randn(64, 2), held_out=torch.randn(32, 2))
    before, modes = torch.get_rng_state(), [module.training for module in system.modules()]
    first = seen.examine(system, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in system.modules()] == modes
    assert not any(module._forward_hooks for module in system.modules())
    assert seen.examine(system, 0) == first
    assert {"dead_units", "held_out_gap", "diversity"} <= set(first)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("dirac-gan", {"data": "dirac"}),  # it does not sample
        ("gan", {"data": "dirac", "batch_size": 16}),  # data without spread
        ("pacgan", {"data": "ring", "pack": 3, "batch_size": 48}),
        ("wgan-gp", {"data": "digits", "batch_size": 20, "width": 8}),
        ("cgan", {"data": "digits", "batch_size": 16, "width": 4}),  # samples of one condition are compared too
    ],
    ids=str,
)
def test_no_game_is_too_odd_for_it(tmp_path: Path, recipe: str, options: dict[str, Any]):
    run = kallima.train(recipe, **options, steps=110, sample_every=0, device="cpu", out=tmp_path / "run")
    assert run.status == "finished"
    events = (run.path / "events.jsonl").read_text()
    assert ("samples/finite" in events) == (recipe != "dirac-gan")
    assert ("samples/within" in events) == (recipe == "cgan")


# stopping


def test_it_stops_an_ill_training_and_keeps_it(tmp_path: Path, command: Command):
    run = tmp_path / "run"
    done = command("train", "gan-minimax", *WORDS, "--doctor", "stop", "--out", run)
    assert done.returncode == 1, done.stderr
    assert "stopped by the doctor at step " in done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads((run / "run.json").read_text())
    assert told["status"] == "stopped"
    assert told["step"] == newest(run) < 1200
    assert told["message"].startswith("stopped by the doctor: discriminator wins")
    assert (run / "report.html").is_file()
    on = kallima.resume(run, doctor="warn", steps=told["step"] + 50)
    assert on.status == "finished"


# going back


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor who finds a collapse at the first look from step 300 on, and whom a quarter of the rates satisfies."""

    def diagnose(record: Record) -> list[Finding]:
        late = record.last_step >= 300 and rollbacks(record) < 2
        return [Finding("mode collapse", 250, 0.9, {"in words": "all are alike"}, ())] if late else []

    monkeypatch.setattr(doctors, "diagnose", diagnose)


ROLLBACK: dict[str, Any] = {
    **SMALL,
    "steps": 500,
    "log_every": 20,
    "checkpoint_every": 100,
    "keep": 1,
    "doctor": "rollback",
    "rollback_factor": 0.5,
}


@pytest.mark.usefixtures("_at_once")
def test_it_goes_back_to_the_last_healthy_checkpoint_with_smaller_steps(tmp_path: Path):
    run = kallima.train("gan", **ROLLBACK, out=tmp_path / "run")
    assert run.status == "finished"
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    back = [event for event in events if event["name"] == "doctor/rollbacks"]
    assert [(event["step"], event["value"]) for event in back] == [(200, 1), (200, 2)]
    steps = [event["step"] for event in events]
    assert steps == sorted(steps)
    state = json.loads((run.path / "checkpoints" / "00000500" / "state.json").read_text())
    assert state["way"]["rollbacks"] == 2
    # the same training from step 200 on, at a quarter of the rates
    twin = tmp_path / "twin"
    kallima.train("gan", **{**ROLLBACK, "steps": 200, "doctor": "off"}, out=twin)
    path = twin / "checkpoints" / "00000200" / "state.json"
    state = json.loads(path.read_text())
    state["way"] = {"rollbacks": 2, "healthy": []}
    path.write_text(json.dumps(state))
    kallima.resume(twin, steps=500)
    assert weights(twin)["weights.safetensors"] == weights(run.path)["weights.safetensors"]
    straight = kallima.train("gan", **{**ROLLBACK, "doctor": "off"}, out=tmp_path / "straight")
    assert weights(straight.path)["weights.safetensors"] != weights(run.path)["weights.safetensors"]


def test_it_gives_up_when_going_back_does_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ill = Finding("mode collapse", 250, 0.9, {"in words": "all are alike"}, ())
    monkeypatch.setattr(doctors, "diagnose", lambda record: [ill] if record.last_step >= 300 else [])
    run = kallima.train("gan", **ROLLBACK, out=tmp_path / "run")
    assert run.status == "stopped"
    state = json.loads((run.path / "checkpoints" / "00000300" / "state.json").read_text())
    assert state["way"]["rollbacks"] == 3


def test_the_best_by_score_comes_before_the_last_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def diagnose(record: Record) -> list[Finding]:
        ill = Finding("divergence after a best point", 250, 0.9, {"in words": "worse"}, ())
        return [ill] if record.last_step >= 300 and not rollbacks(record) else []

    monkeypatch.setattr(doctors, "diagnose", diagnose)
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])

    def judged(*given: Any, **also: Any) -> list[Score]:
        about = dict.fromkeys(("extractor", "extractor_hash", "extractor_accuracy", "resize", "range"))
        counted = {"real": 1, "generated": 1, "data": "ring", "split": "train", "seed": 0, "kallima": "0"}
        return [Score("energy-distance", next(scores), None, None, "lower", **about, **counted, seconds=0.0)]

    monkeypatch.setattr(kallima.api, "judge", judged)
    run = kallima.train("gan", **{**ROLLBACK, "evaluate_every": 70}, out=tmp_path / "run")
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e["name"] == "doctor/rollbacks"] == [140]


def test_killed_in_the_middle_of_going_back_it_ends_where_it_would_have(tmp_path: Path):
    """With the doctor's own judgement: the training goes back until it is given up, killed on the way or not."""
    words = ["train", "gan-minimax", *WORDS, "--doctor", "rollback", "--checkpoint-every", "50", "--keep", "1"]
    ends = {}
    for name, kill in (("straight", False), ("killed", True)):
        run = tmp_path / name
        process = start(*words, "--out", run)
        for step in (50, 150) if kill else ():
            wait_for(run, step, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = start("resume", run)
        _, said = process.communicate(timeout=240)
        assert process.returncode == 1, said
        ends[name] = run
    assert weights(ends["straight"]) == weights(ends["killed"])
    events = [(run / "events.jsonl").read_bytes() for run in ends.values()]
    assert events[0] == events[1]
    assert b"doctor/rollbacks" in events[0]


def test_cut_off_soon_after_going_back_it_ends_where_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # checkpoints after the one that was gone back to must be no more: the latest is what is resumed
    def diagnose(record: Record) -> list[Finding]:
        late = record.last_step >= 300 and not rollbacks(record)
        return [Finding("mode collapse", 150, 0.9, {"in words": "all are alike"}, ())] if late else []

    monkeypatch.setattr(doctors, "diagnose", diagnose)
    options = {**ROLLBACK, "keep": 3, "checkpoint_every": 50}
    straight = kallima.train("gan", **options, out=tmp_path / "straight")
    play, played = Trainer.play, []

    def cut_off(self: Trainer) -> dict[str, torch.Tensor]:
        played.append(self.step)
        if len(played) == 320:
            raise KeyboardInterrupt
        return play(self)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "play", cut_off)
        with pytest.raises(KeyboardInterrupt):
            kallima.train("gan", **options, out=tmp_path / "cut")
    assert played[300] == newest(tmp_path / "cut") == 200
    assert kallima.resume(tmp_path / "cut").status == "finished"
    assert weights(tmp_path / "cut") == weights(straight.path)
    assert (tmp_path / "cut" / "events.jsonl").read_bytes() == (straight.path / "events.jsonl").read_bytes()


def start(*words: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "kallima", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def test_what_is_not_finite_is_gone_back_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    play, broken = Trainer.play, []

    def once(self: Trainer) -> dict[str, torch.Tensor]:
        scalars = play(self)
        if self.step == 130 and not broken:
            broken.append(self.step)
            scalars["generator/adversarial"] = torch.tensor(float("nan"))
        return scalars

    monkeypatch.setattr(Trainer, "play", once)
    run = kallima.train("gan", **{**ROLLBACK, "steps": 160, "checkpoint_every": 50}, out=tmp_path / "run")
    assert run.status == "finished"
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [(e["step"], e["value"]) for e in events if e["name"] == "doctor/rollbacks"] == [(100, 1)]
    assert None not in [event["value"] for event in events]


def test_a_resumed_doctor_does_not_repeat_itself(tmp_path: Path):
    shutil.copytree(
        kallima.train("gan-minimax", **{**ILL, "steps": 400}, out=tmp_path / "run").path, tmp_path / "other"
    )
    knows = Doctor(lambda: None, 0)  # type: ignore[arg-type, return-value]
    knows.recall(tmp_path / "other" / "events.jsonl")
    assert knows.findings
    assert knows.examine() == []
    assert Doctor(lambda: None, 0).examine() == []  # type: ignore[arg-type, return-value]
