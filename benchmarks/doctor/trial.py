"""One case: trained, judged without the doctor, and what the doctor said of it at each of its looks."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from case import FEW_EXAMPLES, Case

import kallima
from kallima.data.batch import from_storage
from kallima.data.points import Grid, Ring, TwoGaussians
from kallima.diagnosis.doctor import Doctor, diagnose
from kallima.diagnosis.finding import Finding
from kallima.diagnosis.reading import read_log
from kallima.diagnosis.record import Record
from kallima.errors import TrainingError
from kallima.evaluation.sets import open_data
from kallima.recipe import get_recipe

QUIET: dict[str, Any] = {"log_every": 25, "sample_every": 0, "checkpoint_every": 10**6, "device": "cpu"}
HEALTHY = 0.15
"""Score over that of the untrained system, up to which a training has succeeded."""
BY_HEART = 0.7
"""Share of pairs in which a discriminator scores a training example above an unseen one: one half by chance."""
SAMPLES = 2_000
MODES = {"ring": Ring.modes, "grid": Grid.modes, "mixture": TwoGaussians.modes}


def train(case: Case, folder: Path) -> dict[str, Any]:
    """Train and judge a case; its events stay in `folder`. Return the case, its scores and its seconds."""
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    told = {"case": case.name, "half": case.half, "recipe": case.recipe, "data": case.data, "seed": case.seed}
    told |= {"provoked": list(case.symptoms), "options": case.options}
    options = known(case) | {"data": data_of(case, folder.parent), "seed": case.seed} | QUIET
    try:
        kallima.train(case.recipe, out=folder / "run", **options)
    except TrainingError as error:
        return told | {"failed": str(error).partition(";")[0], "seconds": round(time.monotonic() - begun, 1)}
    kallima.train(case.recipe, out=folder / "untrained", **options | {"steps": 0, "doctor": "off"})
    before, after = (judge(folder / name, case.data) for name in ("untrained", "run"))
    name = next(iter(after))
    scores = after | {"untrained": before[name]}
    return told | {"scores": scores, "seconds": round(time.monotonic() - begun, 1)}


def known(case: Case) -> dict[str, Any]:
    """Return a case's options without the common ones that its recipe does not have."""
    own = {parameter.name for parameter in get_recipe(case.recipe).parameters}
    general = {"steps", "batch_size", "evaluate_every", "size"}
    return {name: value for name, value in case.options.items() if name in own | general or name in case.arguments}


def data_of(case: Case, folder: Path) -> str | Path:
    """Return the case's data; a small set is written when it is first needed."""
    if case.data not in FEW_EXAMPLES:
        return case.data
    path = folder / f"{case.data}.npz"
    if not path.exists():
        parts = {}
        for split, count in (("train", FEW_EXAMPLES[case.data]), ("test", 300)):
            digits = open_data("digits", split=split)
            parts[f"x_{split}"] = digits.read(np.arange(count))["image"]
        np.savez(path, **parts)
    return path


def judge(run: Path, data: str) -> dict[str, float]:
    """Return the scores of a run, the one that decides first; none of them is the doctor's.

    Of images it is FID to unseen digits in a trained probe, of points the energy distance in their own units. Where
    modes are known, "missed" counts those that are the nearest to less than a fifth of their share of the samples. Of
    the small set it is what the discriminator knows of its examples.
    """
    if data in FEW_EXAMPLES:
        return {"gap": gap(run, data)}
    if data == "digits":
        samples = kallima.sample(run, SAMPLES, device="cpu")
        (score,) = kallima.evaluate(
            samples=samples, data="digits", split="test", metrics=["fid"], size=samples.shape[1], device="cpu"
        )
        return {"fid": score.value}
    (score,) = kallima.evaluate(run, metrics=["energy-distance"], count=SAMPLES, device="cpu")
    scores = {"energy-distance": score.value}
    if data in MODES:
        modes = MODES[data]
        nearest = np.square(kallima.sample(run, SAMPLES, device="cpu")[:, None] - modes).sum(-1).argmin(1)
        counts = np.bincount(nearest, minlength=len(modes))
        scores["missed"] = int((counts < 0.2 * SAMPLES / len(modes)).sum())
    return scores


@torch.no_grad()
def gap(run: Path, data: str) -> float:
    """Return the share of pairs of a training and an unseen digit of which the training one scores higher."""
    system = kallima.load(run, device="cpu")
    trained_on, unseen = (
        system.discriminator(
            from_storage(open_data(str(run.parents[1] / f"{data}.npz"), split=split).read(slice_)["image"])
        )
        for split, slice_ in (("train", np.arange(FEW_EXAMPLES[data])), ("test", np.arange(300)))
    )
    return float((trained_on[:, None] > unseen).double().mean())


def succeeded(result: dict[str, Any]) -> bool:
    """Say by the scores alone whether a training has succeeded: far below the untrained one, and no mode missed."""
    scores = result.get("scores")
    if scores is None:
        return False
    if "gap" in scores:
        return bool(scores["gap"] <= BY_HEART)
    return not scores.get("missed") and bool(next(iter(scores.values())) <= HEALTHY * scores["untrained"])


def replay(events: Path) -> tuple[list[Finding], dict[str, int]]:
    """Let the doctor read a log as it grew; return its findings at the end, and when each symptom was first told."""
    told: dict[str, int] = {}
    found: list[Finding] = []
    record = Record()
    for step, happened in _looks(events):
        for event in happened:
            record.add(*event)
        found = diagnose(record)
        for finding in found:
            told.setdefault(finding.symptom, step)
    return found, told


def _looks(events: Path) -> Iterator[tuple[int, list[tuple[float, str, float]]]]:
    """Yield the steps at which the doctor looks, and what has been logged since the last one."""
    log = read_log(events)
    happened = sorted(
        ((float(step), name, float(value)) for name in log.names for step, value in zip(*log.raw(name), strict=True)),
        key=lambda event: event[0],
    )
    last = int(log.last_step)
    place = 0
    for look in dict.fromkeys([*range(Doctor.every, last + 1, Doctor.every), last]):
        begin = place
        while place < len(happened) and happened[place][0] <= look:
            place += 1
        yield look, happened[begin:place]


def onset(result: dict[str, Any], events: Path) -> int:
    """Return when the illness began: with the training, but where values or scores say since when."""
    record = read_log(events)
    if result["provoked"][0] == "non-finite values":
        broken = (series.steps[~np.isfinite(series.values)] for name in record.names if (series := record.raw(name)))
        return int(min((steps[0] for steps in broken if len(steps)), default=0))
    if result["provoked"][0] == "divergence after a best point":
        with contextlib.suppress(StopIteration):
            series, lower = next(iter(record.scores().values()))
            return int(series.steps[np.argmin(series.values if lower else -series.values)])
    return 0
