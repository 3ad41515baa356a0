"""Judging points: the modes of a mixture and its exact density, and distances between any two sets.

Modes, high-quality share and reverse KL follow VEEGAN (Srivastava et al. 2017, arXiv:1705.07761) and PacGAN (Lin et al.
2018, arXiv:1712.04086), whose tables take 2,500 points: a point is of high quality within three standard deviations of
its nearest mode, a mode is captured by one such point, and reverse KL compares the histogram of nearest modes with the
uniform one.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kallima.data.source import PointSource
from kallima.data.spec import Points
from kallima.errors import DataError
from kallima.evaluation.examples import draw, read_blocks
from kallima.evaluation.gaussian_mmd import mmd
from kallima.evaluation.likelihood.parzen import parzen_apart
from kallima.evaluation.metrics import choose, foreign, score_of
from kallima.evaluation.mmd import squared_mmd
from kallima.evaluation.modes import histogram_kl
from kallima.evaluation.score import Measure, Score
from kallima.evaluation.wasserstein import wasserstein

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

_NO_MODES = "needs a point set whose modes are known, such as ring or grid"


def evaluate_points(
    generated: np.ndarray, real: "Dataset", *, metrics: Sequence[str] | None = None, seed: int = 0
) -> list[Score]:
    """Score generated points (N, D), in the data's own units, against a data set of points.

    By default all metrics that apply: modes, high-quality and reverse-kl where the source knows its modes, log-density
    where it knows its density, the energy distance, MMD and Wasserstein distance always.

    Raises:
        UsageError: a metric is unknown or does not apply to this data.
        DataError: the samples are not two or more finite points of the data's dimension.
    """
    real.spec.demand({"points": Points}, "the point metrics")
    field = real.spec["points"]
    assert isinstance(field, Points)
    generated = _checked(generated, field.dimensions)
    source = real.source
    modes, deviation, density = None, None, None
    if isinstance(source, PointSource):
        modes, deviation = source.modes, source.mode_deviation
        density = source.log_density if source.log_density(generated[:1]) is not None else None
    start = time.perf_counter()
    truth = _own_units(torch.cat([block["points"] for block in read_blocks(real, draw(real, seed))]), field)
    reading = time.perf_counter() - start

    measures: dict[str, Callable[[], Measure]] = {}
    if modes is not None and deviation is not None:
        centres, radius = modes, 3 * deviation
        measures["modes"] = lambda: modes_captured(generated, centres, radius)
        measures["high-quality"] = lambda: high_quality(generated, centres, radius)
        measures["reverse-kl"] = lambda: reverse_kl(generated, centres)
    if density is not None:
        known = density
        measures["log-density"] = lambda: log_density(known, generated, truth)
    measures["energy-distance"] = lambda: energy_distance(truth, generated)
    measures["mmd"] = lambda: scaled_mmd(truth, generated, seed=seed)
    measures["wasserstein"] = lambda: wasserstein(truth, generated, seed=seed)
    measures["parzen"] = lambda: parzen_apart(generated, truth, seed=seed)
    reasons = foreign("points")
    reasons |= dict.fromkeys(("modes", "high-quality", "reverse-kl"), _NO_MODES)
    reasons["log-density"] = "needs a point set whose density is known, such as ring or spiral"

    scores = []
    available = [name for name in measures if metrics or name != "parzen"]  # which is misleading: see its file
    for name in choose(metrics, available, reasons):
        start = time.perf_counter()
        measure = measures[name]()
        scores.append(
            score_of(
                name,
                measure,
                real=len(truth),
                generated=len(generated),
                data=real.name,
                split=real.split,
                fingerprint=real.fingerprint,
                seed=seed,
                seconds=reading + time.perf_counter() - start,
                range=_RANGES.get(name, "the data's own units"),
            )
        )
    return scores


def modes_captured(points: np.ndarray, modes: np.ndarray, radius: float) -> Measure:
    """Count the modes (M, D) with at least one of the points (N, D) nearest to them within `radius`."""
    nearest, distance = _nearest(points, modes)
    return Measure(len(np.unique(nearest[distance <= radius])), notes=(f"of {len(modes)} modes",))


def high_quality(points: np.ndarray, modes: np.ndarray, radius: float) -> Measure:
    """Return the share of points (N, D) within `radius` = 3σ of a mode."""
    share = float((_nearest(points, modes)[1] <= radius).mean())
    # P(χ²_D ≤ 9), for modes far apart
    perfect = torch.special.gammainc(torch.tensor(points.shape[1] / 2), torch.tensor(4.5)).item()
    spread = math.sqrt(share * (1 - share) / len(points))
    note = f"a perfect generator has {perfect:.2%} of high quality"
    return Measure(share, spread, "binomial standard error", (note,))


def reverse_kl(points: np.ndarray, modes: np.ndarray) -> Measure:
    """Return KL(histogram of the nearest modes ‖ uniform), in nats, its error by the delete-one jackknife."""
    return histogram_kl(_nearest(points, modes)[0], len(modes))


def log_density(density: Callable[[np.ndarray], np.ndarray | None], points: np.ndarray, real: np.ndarray) -> Measure:
    """Return the mean log-density of points (N, D), in nats, beside that of real ones (M, D)."""
    values, truth = density(points), density(real)
    assert values is not None
    assert truth is not None
    notes = (f"the real points have a mean log-density of {truth.mean():.4g}; more than that means too little spread",)
    return Measure(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), "standard error", notes)


def energy_distance(real: np.ndarray, generated: np.ndarray) -> Measure:
    """Return 2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ (Székely & Rizzo 2013), unbiased.

    Every dimension is divided first by the standard deviation of the real points in it, so that units don't matter.
    """
    deviation = real.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    x, y = (torch.from_numpy(points / deviation) for points in (real, generated))
    value, spread = squared_mmd(x, y, _minus_distance)
    return Measure(value, spread, "jackknife" if spread is not None else None)


def scaled_mmd(real: np.ndarray, generated: np.ndarray, *, seed: int = 0) -> Measure:
    """Return `mmd` of points (N, D) and (M, D), each dimension divided first by its deviation over both sets.

    Over both, so that the permutation test stays exact.
    """
    deviation = np.concatenate([real, generated]).std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    return mmd(real / deviation, generated / deviation, seed=seed)


_RANGES = {
    "energy-distance": "every dimension divided by the real points' standard deviation",
    "mmd": "every dimension divided by the standard deviation of both sets together",
}


def _minus_distance(x: Tensor, y: Tensor) -> Tensor:
    # the matrix-product form loses the distance of near points to rounding
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").neg_()


def _nearest(points: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest mode of every point, (N,) indices, and its distance, (N,)."""
    distances = -_minus_distance(torch.from_numpy(points).double(), torch.from_numpy(modes).double())
    least = distances.min(1)
    return least.indices.numpy(), least.values.numpy()


def _own_units(points: Tensor, field: Points) -> np.ndarray:
    """Undo the standardisation of stored points."""
    values = points.double().numpy()
    if field.scale is not None:
        values = values * np.asarray(field.scale)
    if field.offset is not None:
        values = values + np.asarray(field.offset)
    return values


def _checked(points: np.ndarray, dimensions: int) -> np.ndarray:
    if points.ndim != 2 or points.shape[1] != dimensions:
        raise DataError(f"the samples have shape {points.shape}, the data's points need (N, {dimensions})")
    if points.dtype.kind not in "fiu":
        raise DataError(f"the samples are {points.dtype}, points need to be numbers such as float32")
    if len(points) < 2:
        raise DataError(f"{len(points)} samples cannot be judged: draw two or more")
    points = points.astype(np.float64)
    broken = int((~np.isfinite(points)).any(1).sum())
    if broken:
        raise DataError(f"{broken:,} of {len(points):,} samples hold NaN or infinity: the generator has diverged")
    return points
