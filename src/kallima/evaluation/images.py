"""Judging images: one pass over each set, only what the chosen metrics need, a receipt for every number."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from kallima import __version__
from kallima.data.spec import Image
from kallima.errors import DataError
from kallima.evaluation.arrays import alike
from kallima.evaluation.examples import Arrays, Images, ImageSet, Progress, check_alike
from kallima.evaluation.extraction import EXTRACTED, Gathered, Need, gather, look_at_all
from kallima.evaluation.features import FeatureExtractor, make_extractor
from kallima.evaluation.features.extractor import Classifier
from kallima.evaluation.features.own import OwnFeatures
from kallima.evaluation.image_metrics import IMAGE_METRICS, PAIRED, Evidence, ImageMetric
from kallima.evaluation.memorisation import Neighbours, TrainingSearch
from kallima.evaluation.metrics import METRICS, choose, foreign
from kallima.evaluation.processes import Processes
from kallima.evaluation.reference import Reference, reference_of
from kallima.evaluation.score import Score, now

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

_log = logging.getLogger(__name__)

SUSPECTS = 12  # samples that a picture of the nearest training images shows

NO_LOGITS = "needs an extractor that tells classes apart, as probe and inception do"


def evaluate_images(
    generated: Images,
    real: "Images | Reference | None",
    *,
    metrics: Sequence[str] | None = None,
    features: str | FeatureExtractor | Callable[[torch.Tensor], torch.Tensor] = "auto",
    labelled: "Dataset | None" = None,
    generated_labels: np.ndarray | None = None,
    real_labels: np.ndarray | None = None,
    held_out: Images | None = None,
    real_limit: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    distributed: bool = False,
    progress: Progress | None = None,
    suspects: Callable[[torch.Tensor], None] | None = None,
) -> list[Score]:
    """Score generated images against real ones, each score with its receipt.

    Args:
        generated: images uint8 (N, H, W, C) as an array, as an iterable of arrays or of pairs (images, labels), which
            is read once and never held whole where only moments are needed, or as a `Dataset`.
        real: the same; of a `Dataset` up to `real_limit` (10,000) examples are drawn with `seed`. Or reference
            statistics, for what needs no more than moments; None for metrics that need no real images.
        metrics: by default all that apply, but for the slow ones. One that cannot judge these sets, for want of
            examples or pixels, is then left out with a warning, where one asked for by name raises.
        features: a name of `FEATURES`, an extractor, or a function from images uint8 (N, H, W, C) to features (N, d).
        labelled: what the probe learns from, by default `real`: give the training split here and scores against any
            split share one probe.
        generated_labels: classes (N,) of generated images given as an array.
        real_labels: classes of real images given as an array.
        held_out: real images that the generator was not trained on, for the metrics of memorisation.
        real_limit: how many examples of a real data set to use at most; arrays are used whole, and so is a data set
            where pairs are compared. Memorisation looks for
            copies among all of them.
        seed: decides which real examples are used, and what metrics draw.
        device: where features are extracted and compared.
        distributed: every process of the torch.distributed group makes this call with the same arguments, reads its
            share, and returns the same scores.
        progress: hears what is being done.
        suspects: is given pictures uint8 (R, 4, H, W, C) where memorisation is judged, of samples and real images that
            can be read again: the samples nearest to a real image, each before its three nearest, nearest pairs first.

    Raises:
        UsageError: a metric or extractor is unknown or does not apply to this data.
        DataError: the sets are not two or more images uint8 of one size and number of channels.
    """
    processes = Processes.of_group() if distributed else Processes()
    sets = _sets(generated, real, held_out, generated_labels, real_labels)
    paired = any(name in PAIRED for name in metrics or ())
    if (truth := sets.real) is not None and not paired:  # every sample needs its partner
        truth.limit(real_limit, seed)
    choose(metrics, _available(sets, None, metrics), _reasons(sets, None))  # before an extractor takes its time
    asked = [IMAGE_METRICS[name] for name in metrics if name in IMAGE_METRICS] if metrics else None
    extractor: FeatureExtractor | None = None
    if asked is None or any(map(_extracts, asked)):
        extractor = _extractor(features, labelled or _source(sets), device)
    names = choose(metrics, _available(sets, extractor, metrics), _reasons(sets, extractor))
    chosen = [IMAGE_METRICS[name] for name in names]
    if paired and truth is not None and sets.generated.count is not None and truth.count is not None:
        alike("samples", sets.generated.count, "real images", truth.count)

    start = time.perf_counter()

    def read(images: ImageSet, needs: set[Need]) -> Gathered:
        return gather(images, needs, extractor, device=device, processes=processes, progress=progress)

    real_needs = {need for metric in chosen for need in metric.real}
    found: Gathered | None = None
    reference = sets.reference
    if reference is not None and extractor is not None:
        reference.demand(extractor)
        found = reference.gathered()
    elif truth is not None and real_needs:
        if real_needs == {"moments"} and extractor is not None:
            found = reference_of(truth, extractor, device=device, processes=processes, progress=progress).gathered()
        else:
            found = read(truth, real_needs)
    held_out_needs = {need for metric in chosen for need in metric.held_out}
    apart = read(sets.held_out, held_out_needs) if sets.held_out and held_out_needs else None
    made = read(sets.generated, {need for metric in chosen for need in metric.generated})
    search: TrainingSearch | None = None
    if any(metric.searches for metric in chosen):
        assert truth is not None
        assert extractor is not None
        assert found is not None
        assert apart is not None
        search = TrainingSearch(made.features, apart.features)
        look_at_all(search, truth, found, extractor, device=device, processes=processes, progress=progress)
        if suspects is not None:
            _show(search.neighbours(SUSPECTS), sets.generated, truth, suspects)
    evidence = Evidence(made, found, apart, search, seed=seed, progress=progress)
    extracting = time.perf_counter() - start

    scores = []
    for name, metric in zip(names, chosen, strict=True):
        start = time.perf_counter()
        try:
            measure = metric.measure(evidence)
        except DataError as error:
            if metrics:
                raise
            _log.warning("%s is left out: %s", name, error)
            continue
        used = extractor if _extracts(metric) else None
        known = reference or truth
        sides = [made] + [side for side, needs in ((found, metric.real), (apart, metric.held_out)) if side and needs]
        scores.append(
            Score(
                metric=name,
                value=measure.value,
                spread=measure.spread,
                spread_method=measure.spread_method,
                direction=METRICS[name].direction,
                extractor=used.name if used else None,
                extractor_hash=used.version if used else None,
                extractor_accuracy=used.accuracy if used else None,
                resize=used.resize if used else None,
                range=used.range if used else metric.range,
                real=search.seen if search and metric.searches else found.count if found and metric.real else 0,
                generated=made.count,
                data=known.name if known else "-",
                split=known.split if known else "-",
                seed=seed,
                kallima=__version__,
                seconds=round(extracting + time.perf_counter() - start, 3),
                metric_version=METRICS[name].version,
                data_fingerprint=known.fingerprint if known else None,
                view=known.view if known else None,
                held_out=apart.count if apart and metric.held_out else None,
                held_out_fingerprint=sets.held_out.fingerprint if sets.held_out and metric.held_out else None,
                time=now(),
                notes=(*measure.notes, *(n for side in sides for n in side.notes), *(used.notes if used else ())),
            )
        )
    return scores


def _show(near: Neighbours, samples: ImageSet, real: ImageSet, suspects: Callable[[torch.Tensor], None]) -> None:
    """Hand over pictures of the samples with their neighbours, where both can be read again."""
    ours, theirs = samples.pictures(near.generated), real.pictures(near.training)
    if ours is not None and theirs is not None:
        suspects(torch.cat([ours[:, None], theirs], 1))


@dataclass
class _Sets:
    generated: ImageSet
    real: ImageSet | None
    held_out: ImageSet | None
    reference: Reference | None


def _sets(
    generated: Images,
    real: "Images | Reference | None",
    held_out: Images | None,
    generated_labels: np.ndarray | None,
    real_labels: np.ndarray | None,
) -> _Sets:
    """Open the sets and refuse those that differ in size."""
    truth = None if real is None or isinstance(real, Reference) else ImageSet(real, "the real images", real_labels)
    samples = ImageSet(generated, "the samples", generated_labels)
    apart = None if held_out is None else ImageSet(held_out, "the held-out images")
    assert samples.image is not None
    if truth is not None:
        assert truth.image is not None
        check_alike(samples.image, truth.image)
    if apart is not None:
        assert apart.image is not None
        check_alike(apart.image, samples.image, "the held-out images")
    return _Sets(samples, truth, apart, real if isinstance(real, Reference) else None)


def _source(sets: _Sets) -> "Dataset | Arrays | Image":
    """Return what an extractor is made for: the real data where it can be read again, else what the images are like."""
    if sets.real is not None and sets.real.data is not None:
        return sets.real.data
    assert sets.generated.image is not None
    return sets.generated.image


def _extractor(
    features: str | FeatureExtractor | Callable[[torch.Tensor], torch.Tensor],
    source: "Dataset | Arrays | Image",
    device: torch.device | str,
) -> FeatureExtractor:
    if isinstance(features, str):
        return make_extractor(features, source, device=device)
    if isinstance(features, FeatureExtractor):
        return features
    return OwnFeatures(features)


def _extracts(metric: ImageMetric) -> bool:
    return any(map(metric.needs, EXTRACTED))


def _available(sets: _Sets, extractor: FeatureExtractor | None, asked: Sequence[str] | None) -> list[str]:
    reasons = _reasons(sets, extractor)
    return [name for name, metric in IMAGE_METRICS.items() if name not in reasons and (asked or metric.by_default)]


def _reasons(sets: _Sets, extractor: FeatureExtractor | None) -> dict[str, str]:
    """Say of each metric that does not apply here why not."""
    reasons = foreign("image")
    for name, metric in IMAGE_METRICS.items():
        if (reason := _reason(metric, sets, extractor)) is not None:
            reasons[name] = reason
    return reasons


def _reason(metric: ImageMetric, sets: _Sets, extractor: FeatureExtractor | None) -> str | None:
    if metric.real and sets.real is None:
        if sets.reference is None:
            return "needs real images"
        if set(metric.real) != {"moments"}:
            return "needs the real images themselves, and reference statistics are only their moments"
    if metric.held_out and sets.held_out is None:
        return "needs held-out images, as data with a test split has where its train split is compared with"
    sides: list[tuple[Iterable[Need], ImageSet | None]] = [
        (metric.generated, sets.generated),
        (metric.real, sets.real),
        (metric.held_out, sets.held_out),
    ]
    for needs, images in sides:
        if "labels" in needs and images is not None and not images.labelled:
            return f"needs the labels of {images.what}"
    if metric.needs("probabilities") and extractor is not None and not isinstance(extractor, Classifier):
        return NO_LOGITS
    return None
