"""Judging images by their features."""

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kallima import __version__
from kallima.data.spec import Image
from kallima.errors import DataError
from kallima.evaluation.examples import draw, image_field, read_blocks
from kallima.evaluation.features import FeatureExtractor, make_extractor
from kallima.evaluation.fid import fid
from kallima.evaluation.kid import kid
from kallima.evaluation.metrics import METRICS, choose
from kallima.evaluation.prdc import Neighbourhoods, neighbourhoods
from kallima.evaluation.score import Measure, Score

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

_BLOCK = 1000


class FeatureSets:
    """Real (N, d) and generated (M, d) features of one extractor; what several metrics need is computed once."""

    def __init__(self, real: Tensor, generated: Tensor):
        self.real, self.generated = real, generated

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Precision, recall, density and coverage, which share their distances."""
        return neighbourhoods(self.real, self.generated)


IMAGE_METRICS: dict[str, Callable[[FeatureSets], Measure]] = {
    "fid": lambda sets: fid(sets.real, sets.generated),
    "kid": lambda sets: kid(sets.real, sets.generated),
    "precision": lambda sets: sets.neighbourhoods.precision,
    "recall": lambda sets: sets.neighbourhoods.recall,
    "density": lambda sets: sets.neighbourhoods.density,
    "coverage": lambda sets: sets.neighbourhoods.coverage,
}


def evaluate_images(
    generated: np.ndarray,
    real: "Dataset",
    *,
    metrics: Sequence[str] | None = None,
    features: str | FeatureExtractor = "auto",
    labelled: "Dataset | None" = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[Score]:
    """Score generated images uint8 (N, H, W, C) against up to 10,000 of a data set, drawn with `seed`.

    `features` is a name of `FEATURES` or an extractor. The probe learns from `labelled`, by default from `real` itself:
    give the training split there and scores against any split share one probe. By default all metrics.

    Raises:
        UsageError: a metric or extractor is unknown or does not apply to this data.
        DataError: the samples are not two or more images of the data's size and channels.
    """
    _check(generated, image_field(real))
    reasons = {name: "judges points, and the data is images" for name, m in METRICS.items() if m.field != "image"}
    names = choose(metrics, IMAGE_METRICS, reasons)
    if isinstance(features, str):
        features = make_extractor(features, labelled or real, device=device)

    start = time.perf_counter()
    indices = draw(real, seed)
    truth = torch.cat([features.features(block["image"]) for block in read_blocks(real, indices)])
    blocks = (generated[i : i + _BLOCK] for i in range(0, len(generated), _BLOCK))
    samples = torch.cat([features.features(torch.from_numpy(np.array(block))) for block in blocks])
    for what, found in (("real", truth), ("generated", samples)):
        if not found.isfinite().all():
            raise DataError(f"the {features.name} features of the {what} images hold NaN or infinity")
    device = torch.device(device)
    if device.type == "cuda":  # other accelerators lack float64
        truth, samples = truth.to(device), samples.to(device)
    extracting = time.perf_counter() - start

    sets = FeatureSets(truth, samples)
    scores = []
    for name in names:
        start = time.perf_counter()
        measure = IMAGE_METRICS[name](sets)
        scores.append(
            Score(
                metric=name,
                value=measure.value,
                spread=measure.spread,
                spread_method=measure.spread_method,
                direction=METRICS[name].direction,
                extractor=features.name,
                extractor_hash=features.version,
                extractor_accuracy=features.accuracy,
                resize=features.resize,
                range=features.range,
                real=len(truth),
                generated=len(samples),
                data=real.name,
                split=real.split,
                seed=seed,
                kallima=__version__,
                seconds=round(extracting + time.perf_counter() - start, 3),
                notes=(*measure.notes, *features.notes),
            )
        )
    return scores


def _check(images: np.ndarray, image: Image) -> None:
    if images.dtype != np.uint8:
        raise DataError(f"the samples are {images.dtype}, images need to be uint8 from 0 to 255")
    wanted = image.height, image.width, image.channels
    if images.ndim != 4 or images.shape[1:] != wanted:
        height, width, channels = wanted
        raise DataError(
            f"the samples have shape {images.shape}, the data's images need (N, {height}, {width}, {channels}): "
            "choose --size and --channels so that they agree"
        )
    if len(images) < 2:
        raise DataError(f"{len(images)} samples cannot be judged: draw two or more")
