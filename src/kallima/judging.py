"""What is judged against what: the sets behind `evaluate`, opened, seen alike and scored."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima.data.spec import Spec
from kallima.errors import UsageError
from kallima.job import Job

if TYPE_CHECKING:
    from kallima.evaluation.score import Score
    from kallima.evaluation.sets import Truth
    from kallima.training.distribution import World


def judge(
    samples: Any,
    truth: "Truth",
    *,
    metrics: Sequence[str] | None = None,
    features: str = "auto",
    seed: int,
    device: str = "auto",
    notes: Sequence[str] = (),
    world: "World | None" = None,
    progress: Any = None,
) -> "list[Score]":
    """Score samples, in the data's units, by what applies to them; `notes` go into every receipt."""
    from kallima.evaluation import evaluate_images, evaluate_points
    from kallima.evaluation.examples import REAL_LIMIT
    from kallima.training.precision import choose_device

    if "points" in truth.real.spec:
        if features != "auto":
            raise UsageError("--features is for images: points are compared as they are")
        scores = evaluate_points(samples, truth.real, metrics=metrics, seed=seed)
    else:
        scores = evaluate_images(
            samples,
            truth.real,
            metrics=metrics,
            features=features,
            labelled=truth.labelled,
            held_out=truth.held_out,
            seed=seed,
            device=choose_device(device, 0 if world is None else world.local_rank),
            distributed=world is not None and world.size > 1,
            progress=progress,
        )
    told = []
    for score in scores:
        more = list(notes)
        if score.metric == "memorisation" and score.real < len(truth.real):
            more.append(f"only {REAL_LIMIT:,} of the {len(truth.real):,} training images were looked at for copies")
        told.append(dataclasses.replace(score, notes=(*score.notes, *more)))
    return told


def refuse_for_run(data: Any, samples_key: str | None, options: Mapping[str, Any]) -> None:
    """Refuse the options that cannot apply to a run.

    Raises:
        UsageError: one is given.
    """
    for name in ("size", "crop", "channels"):
        if name in options:
            raise UsageError(f"--{name} goes with --samples: a run's images are seen as in its training")
    if data is None and options:
        raise UsageError(f"--{next(iter(options)).replace('_', '-')} goes with --data")
    if samples_key is not None:
        raise UsageError("--samples-key goes with --samples")


def truth_of_run(
    job: Job,
    spec: Spec,
    data: Any,
    split: str,
    metrics: Sequence[str] | None,
    seed: int,
    options: Mapping[str, Any],
) -> "Truth":
    """Open what a run is compared with; its probe learns from the data that the run was trained on."""
    from kallima.evaluation.sets import Truth, held_out_of, open_data, open_truth

    progress = options["progress"]
    trained_on = job.dataset(progress)
    own = dataclasses.asdict(job.data) | {"progress": progress}
    name = own.pop("data")
    if data is None and split == trained_on.split:
        return Truth(trained_on, trained_on, held_out_of(trained_on, name, metrics, seed, **own))
    if data is None:
        return Truth(open_data(name, split=split, **own), trained_on)
    if not isinstance(data, (str, Path)):
        return Truth(open_truth(data, split=split, **options).real, trained_on)
    seen = dataclasses.asdict(job.looking_at(data, spec).data) | dict(options)
    seen.pop("data")
    truth = open_truth(data, split=split, metrics=metrics, seed=seed, **seen)
    trained = truth.real.fingerprint == trained_on.fingerprint  # what it never saw it cannot have memorised
    return Truth(truth.real, trained_on, truth.held_out if trained else None)


@contextmanager
def showing(world: "World") -> "Iterator[Callable[[str, int, int], None]]":
    """Give a callback that shows on a terminal what is being done and how far it is."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in bars:
            for bar in bars.values():
                bar.close()
            bars.clear()
            disable = None if world.leads else True  # None: on a terminal only
            bars[what] = tqdm(desc=what, total=total or None, unit="", leave=False, file=sys.stderr, disable=disable)
        bars[what].update(done - bars[what].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
