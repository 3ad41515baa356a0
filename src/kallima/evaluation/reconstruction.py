"""How like the original a reconstruction is: mean squared error, PSNR, SSIM and MS-SSIM over image pairs."""

import math

import numpy as np
import torch

from kallima.errors import DataError, UsageError
from kallima.evaluation.arrays import Array, as_numpy, numbers
from kallima.evaluation.ms_ssim import describe, ms_ssim, ssim
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

_BLOCK = 1000


def mean_squared_error(x: Array, y: Array) -> Measure:
    """Return the mean over examples of the mean squared difference of their values, (N, …) each, in squared units.

    Raises:
        DataError: the shapes differ, or a value is NaN or infinite.
    """
    errors = _errors(x, y)
    return mean_of(errors, "examples", ("a mean over all values of an example, not their sum",))


def psnr(x: Array, y: Array, *, peak: float | None = None) -> Measure:
    """Return the mean over examples of 10 log₁₀(peak² / MSE), in dB, of pairs (N, …).

    `peak` is the largest value: 255 for uint8, else to be given. The mean of examples' PSNR is not the PSNR of the mean
    error. Exact reconstructions, of infinite PSNR, are left out and counted in the notes; ∞ where all are exact.

    Raises:
        DataError: as for `mean_squared_error`, or a value is outside of the range from 0 to the peak.
        UsageError: the peak is not given for values that are not uint8, or not above 0.
    """
    peak = _peak(x, y, peak)
    for values in map(as_numpy, (x, y)):
        if values.size and (values.min() < 0 or values.max() > peak):
            raise DataError(f"values leave the range from 0 to {peak:g}")
    errors = _errors(x, y)
    notes = [f"peak {peak:g}, the mean of every example's PSNR"]
    differing = errors[errors > 0]
    if len(differing) < len(errors):
        notes.append(f"{len(errors) - len(differing):,} of {len(errors):,} reconstructions are exact and left out")
    if not len(differing):
        return Measure(math.inf, notes=tuple(notes))
    return mean_of(10 * np.log10(peak**2 / differing), "examples", notes)


def structural_similarity(x: Array, y: Array, *, peak: float | None = None) -> Measure:
    """Return the mean SSIM of image pairs (N, H, W, C), 1 for equal; `peak` as for `psnr`.

    Raises:
        DataError: the shapes differ or are not (N, H, W, C), or a value is NaN or outside of the range.
        UsageError: as for `psnr`.
    """
    peak = _peak(x, y, peak)
    return mean_of(ssim(_tensor(x), _tensor(y), peak=peak).numpy(), "examples", (f"Gaussian window, peak {peak:g}",))


def multiscale_similarity(x: Array, y: Array, *, peak: float | None = None) -> Measure:
    """Return the mean MS-SSIM of image pairs (N, H, W, C), 1 for equal; the notes say at how many scales.

    Raises:
        DataError: as for `structural_similarity`.
        UsageError: as for `psnr`.
    """
    peak = _peak(x, y, peak)
    values = ms_ssim(_tensor(x), _tensor(y), peak=peak).numpy()
    return mean_of(values, "examples", (describe(*x.shape[1:3]), f"peak {peak:g}"))


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(as_numpy(values)))


def _errors(x: Array, y: Array) -> np.ndarray:
    """Return every example's mean squared error, (N,)."""
    first, second = as_numpy(x), as_numpy(y)
    if first.shape != second.shape or first.ndim < 2:
        raise DataError(f"originals {first.shape} and reconstructions {second.shape}: they need one shape (N, …)")
    errors = []
    for start in range(0, max(len(first), 1), _BLOCK):  # eight bytes a value, of these alone
        block = slice(start, start + _BLOCK)
        originals = numbers("originals", first[block], first.ndim)
        difference = originals - numbers("reconstructions", second[block], first.ndim)
        errors.append((difference**2).reshape(len(difference), -1).mean(1))
    return np.concatenate(errors)


def _peak(x: Array, y: Array, peak: float | None) -> float:
    if peak is None:
        if any(as_numpy(z).dtype != np.uint8 for z in (x, y)):
            raise UsageError("values that are not uint8 need a peak: peak=1.0 for a range from 0 to 1")
        return 255.0
    if not (math.isfinite(peak) and peak > 0):
        raise UsageError(f"a peak of {peak} is none: it needs to be above 0")
    return float(peak)
