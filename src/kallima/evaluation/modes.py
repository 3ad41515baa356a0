"""Counting modes: by the nearest centre or by any classifier.

Stacked MNIST (Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018, arXiv:1712.04086): three random digits as the
channels of one image have 1,000 modes, a digit classifier names the mode of each of 26,000 samples, and the figures are
how many modes appear at all and the KL divergence of their histogram from the uniform one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import alike, as_numpy
from kallima.evaluation.resampling import jackknifed
from kallima.evaluation.score import Measure

Classifier = Callable[[np.ndarray], np.ndarray]
"""Examples (N, …) -> class indices, whole numbers (N,)."""

_BLOCK = 1000


class ModeCount(NamedTuple):
    """How many modes appear, and the divergence of their histogram from the uniform one, in nats."""

    captured: Measure
    reverse_kl: Measure


def modes_by_classifier(examples: np.ndarray, classify: Classifier, modes: int) -> ModeCount:
    """Count the modes among examples (N, …) that a classifier tells apart, each one of `modes` class indices.

    The classifier is given a thousand examples at a time. Its mistakes are counted as the generator's: use one that is
    right on 99 % or more.

    Raises:
        DataError: there are no examples, or the classifier gives no class from 0 to `modes` − 1 for each.
    """
    if not len(examples):
        raise DataError("there are no examples: modes cannot be counted")
    named = []
    for start in range(0, len(examples), _BLOCK):
        block = examples[start : start + _BLOCK]
        indices = as_numpy(classify(block))
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise DataError(
                f"the classifier gave {indices.dtype} {indices.shape}: it needs to give whole numbers (N,), such as "
                "the argmax of its logits"
            )
        alike("classes", len(indices), "examples", len(block))
        if indices.min() < 0 or indices.max() >= modes:
            raise DataError(
                f"the classifier gave classes {indices.min()} to {indices.max()}: modes are 0 to {modes - 1}"
            )
        named.append(indices)
    found = np.concatenate(named)
    captured = Measure(len(np.unique(found)), notes=(f"of {modes:,} modes, by a classifier",))
    return ModeCount(captured, histogram_kl(found, modes))


def by_channel(classify: Classifier, classes: int = 10) -> Classifier:
    """Return the classifier of stacked images (N, H, W, C) from one of single channels (N, H, W, 1).

    The channels' classes are the figures of the mode's number, the first counting most: `classes` ** C modes.
    """

    def stacked(images: np.ndarray) -> np.ndarray:
        if images.ndim != 4:
            raise DataError(f"the images have shape {images.shape}, they need (N, H, W, C)")
        number = np.zeros(len(images), dtype=np.int64)
        for channel in range(images.shape[3]):
            number = number * classes + as_numpy(classify(images[..., channel : channel + 1]))
        return number

    return stacked


def histogram_kl(found: np.ndarray, modes: int) -> Measure:
    """Return KL(histogram of mode indices (N,) ‖ uniform), in nats, its error by the delete-one jackknife."""
    count = len(found)
    histogram = np.bincount(found, minlength=modes).astype(np.float64)
    terms = _plogp(histogram).sum()
    value = terms / count + np.log(modes / count)
    # deleting any point of a mode leaves the same histogram, so one replicate a mode is enough
    held = histogram[histogram > 0]
    left = max(count - 1, 1)
    replicates = (terms - _plogp(held) + _plogp(held - 1)) / left + np.log(modes / left)
    note = f"a perfect generator has a reverse KL of about {(modes - 1) / (2 * count):.4f} with {count:,} points"
    return jackknifed(float(max(value, 0)), replicates, "examples", (note,), held)


def _plogp(values: np.ndarray) -> np.ndarray:
    return values * np.log(np.where(values > 0, values, 1))
