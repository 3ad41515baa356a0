"""What is judged against what: the sets behind `evaluate`, opened, seen alike and scored."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima.data.spec import Spec
from kallima.errors import DataError, UsageError
from kallima.job import Job

if TYPE_CHECKING:
    from torch import Tensor

    from kallima.evaluation.reference import Reference
    from kallima.evaluation.score import Score
    from kallima.evaluation.sets import Truth
    from kallima.evaluation.text.corpus import Texts
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
    suspects: "Callable[[Tensor], None] | None" = None,
) -> "list[Score]":
    """Score samples, in the data's units, by what applies to them; `notes` go into every receipt.

    `suspects` is given pictures of the samples nearest to a training image, as `evaluate_images` says.
    """
    from kallima.evaluation import Reference, evaluate_images, evaluate_points, evaluate_texts
    from kallima.evaluation.metrics import KINDS
    from kallima.training.precision import choose_device

    if truth.kind != "image" and features != "auto":
        raise UsageError(f"--features is for images, and the data is {KINDS[truth.kind]}")
    if features == "auto" and isinstance(truth.real, Reference):
        features = _features_of(truth.real, truth.labelled is not None)
    if truth.kind == "text":
        scores = evaluate_texts([str(text) for text in samples], _texts(truth.real, seed), metrics=metrics, seed=seed)
    elif truth.kind == "points":
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
            suspects=suspects,
        )
    return [dataclasses.replace(score, notes=(*score.notes, *notes)) for score in scores]


def judge_run(
    system: Any,
    truth: "Truth",
    draw: Callable[[int], Any],
    *,
    metrics: Sequence[str] | None = None,
    count: int | None = None,
    seed: int,
    device: str = "auto",
    progress: Any = None,
    **options: Any,
) -> "list[Score]":
    """Score what a run's system can do, and as many of its samples as `draw` is asked for, in the data's units.

    `options` are those of `judge`. Nothing is drawn where no metric judges samples.
    """
    from kallima.evaluation.systems import Subject, divide, evaluate_system
    from kallima.system import Completes
    from kallima.training.precision import choose_device

    world = options.get("world")
    subject = Subject(
        system,
        truth.real,
        truth.labelled,
        count=count,
        seed=seed,
        device=choose_device(device, 0 if world is None else world.local_rank),
        progress=progress,
    )
    own, of_samples = divide(metrics, subject)
    if of_samples is None and (truth.kind not in JUDGED or isinstance(system, Completes)):
        of_samples = []  # nothing judges samples of this kind, or they are slow to draw: only where they are asked for
    scores = evaluate_system(subject, own)
    if of_samples is None or of_samples:
        made = draw(count or JUDGED[truth.kind])
        options |= {"metrics": of_samples, "seed": seed, "device": device, "progress": progress}
        if truth.kind == "text":
            made, told = _written(made)
            options["notes"] = (*options.get("notes", ()), *told)
        scores = judge(made, truth, **options) + scores
    return scores


def _written(made: Any) -> tuple[list[str], list[str]]:
    """Return the texts that are not empty, and a note on the others: of nothing no metric can say anything."""
    texts = [text for text in made if text.strip()]
    empty = len(made) - len(texts)
    return texts, [f"{empty:,} of {len(made):,} samples are empty, and left out"] if empty else []


def _texts(real: Any, seed: int) -> "Texts":
    """Return the texts of a data set, up to 10,000 of them, as they are judged."""
    from kallima.evaluation.examples import draw as choose
    from kallima.evaluation.text.corpus import Texts

    if isinstance(real, Texts):
        return real
    return Texts(real.texts(choose(real, seed)), real.name, real.split)


def _features_of(reference: "Reference", labelled: bool) -> str:
    """Return the name of the features that statistics are of.

    Raises:
        UsageError: the file does not say it, or it is a probe and nothing is there for it to learn from.
    """
    if reference.extractor is None:
        raise UsageError(
            f"{reference.name} does not say of which features its statistics are: name them with --features, such as "
            "--features inception-legacy-pytorch"
        )
    if reference.extractor == "probe" and not labelled:
        raise UsageError(
            f"the statistics {reference.name} are of a probe's features, which need the images that it learned from: "
            "give these as --data, or make statistics of other features"
        )
    return reference.extractor


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
    """Open what a run is compared with; its probe learns from the data that the run was trained on.

    Raises:
        DataError: the data is broken, or text.
    """
    from kallima.evaluation.reference import Reference, holds_statistics
    from kallima.evaluation.sets import Truth, held_out_of, open_data, open_truth
    from kallima.evaluation.text.corpus import holds_texts

    if holds_texts(data, options.get("key")) and spec.medium != "text":
        raise DataError(f"{data if isinstance(data, (str, Path)) else 'the data'} is text, and the run makes none")
    if holds_statistics(data, options.get("key")) and "image" not in spec:
        raise DataError(f"{data} holds statistics of images, and the run makes none")
    progress = options["progress"]
    trained_on = job.dataset(progress)
    own = dataclasses.asdict(job.data) | {"progress": progress}
    name = own.pop("data")
    if data is None and split == trained_on.split:
        return Truth(trained_on, trained_on, held_out_of(trained_on, name, metrics, seed, **own))
    if data is None:
        return Truth(open_data(name, split=split, **own), trained_on)
    if spec.medium == "text" and isinstance(data, (str, Path)):
        return Truth(job.looking_at(data, spec).dataset(progress), trained_on)
    if not isinstance(data, (str, Path)) or holds_statistics(data, options.get("key")):
        return Truth(open_truth(data, split=split, **options).real, trained_on)
    seen = dataclasses.asdict(job.looking_at(data, spec).data) | {"medium": spec.medium} | dict(options)
    seen.pop("data")
    truth = open_truth(data, split=split, metrics=metrics, seed=seed, **seen)
    assert not isinstance(truth.real, Reference)
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


JUDGED = {"image": 10_000, "points": 2_500, "text": 500}  # how many samples of a run a score rests on
