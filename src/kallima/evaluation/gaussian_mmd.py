"""Maximum mean discrepancy with a Gaussian kernel, and its permutation test (Gretton et al. 2012, JMLR 13).

k(x, y) = exp(−‖x − y‖² / 2σ²). The value is the unbiased MMD² over all pairs. The test asks how often the two sets,
pooled and dealt out anew, differ by as much: under equal distributions its p is uniform, whatever the kernel.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, numbers
from kallima.evaluation.mmd import squared_mmd
from kallima.evaluation.nearest import squared_distances
from kallima.evaluation.resampling import subset
from kallima.evaluation.score import Measure

PERMUTATIONS = 999
TESTED = 1000
"""How many examples of each set the permutation test and the bandwidth look at."""


def mmd(
    real: Array,
    generated: Array,
    *,
    bandwidth: float | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Measure:
    """Return the squared MMD between (N, D) and (M, D), around 0 or below for equal distributions, and p in the notes.

    The bandwidth σ is by default the median distance between pooled examples, up to 1,000 of each set.

    Raises:
        DataError: the sets are not finite numbers of one dimension, two or more each, or the bandwidth is no length.
    """
    x, y = _pair(real, generated)
    some_x, some_y = subset(x, TESTED, seed), subset(y, TESTED, seed)
    width = _bandwidth(some_x, some_y) if bandwidth is None else bandwidth
    if not (np.isfinite(width) and width > 0):
        raise DataError(f"a bandwidth of {width} is none: it needs to be a length above 0")
    kernel = _gaussian(width)
    # sorted: the order of the terms decides the last digit
    every_x, every_y = (torch.from_numpy(subset(z, len(z), seed)) for z in (x, y))
    value, spread = squared_mmd(every_x, every_y, kernel)
    p = _permutation_p(some_x, some_y, kernel, permutations, seed)
    tested = "" if max(len(x), len(y)) <= TESTED else f" of {len(some_x):,} and {len(some_y):,} examples"
    chosen = ", the median distance" if bandwidth is None else ""
    notes = (
        f"permutation test: p = {p:.3g} over {permutations:,} permutations{tested}",
        f"Gaussian kernel with σ = {width:.3g}{chosen}",
    )
    return Measure(value, spread, "jackknife" if spread is not None else None, notes)


def permutation_p(
    real: Array,
    generated: Array,
    *,
    bandwidth: float | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Return the p of the hypothesis that (N, D) and (M, D) come from one distribution; up to 1,000 of each are used.

    Raises:
        DataError: as for `mmd`.
    """
    x, y = (subset(z, TESTED, seed) for z in _pair(real, generated))
    return _permutation_p(x, y, _gaussian(bandwidth or _bandwidth(x, y)), permutations, seed)


def _pair(real: Array, generated: Array) -> tuple[np.ndarray, np.ndarray]:
    x, y = numbers("real points", real, 2, 2), numbers("generated points", generated, 2, 2)
    if x.shape[1] != y.shape[1]:
        raise DataError(f"the real points have {x.shape[1]} dimensions, the generated ones {y.shape[1]}")
    return x, y


def _gaussian(bandwidth: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: squared_distances(x, y).clamp_(min=0).div_(-2 * bandwidth**2).exp_()


def _bandwidth(x: np.ndarray, y: np.ndarray) -> float:
    """Return the median distance of pooled pairs: one where that is 0."""
    pooled = torch.from_numpy(np.concatenate([x, y]))
    rows, columns = torch.triu_indices(len(pooled), len(pooled), 1)
    median = squared_distances(pooled, pooled)[rows, columns].median().clamp(min=0).sqrt().item()
    return median or 1.0


def _permutation_p(
    x: np.ndarray, y: np.ndarray, kernel: Callable[[Tensor, Tensor], Tensor], permutations: int, seed: int
) -> float:
    pooled = torch.from_numpy(np.concatenate([x, y]))
    gram = kernel(pooled, pooled).fill_diagonal_(0)
    n, m, rng = len(x), len(y), np.random.default_rng(seed)
    first = np.zeros((len(pooled), permutations + 1))
    first[:n, 0] = 1
    for column in range(1, permutations + 1):
        first[rng.permutation(len(pooled))[:n], column] = 1
    chosen = torch.from_numpy(first)
    products = gram @ chosen
    xx = (chosen * products).sum(0)
    xy = products.sum(0) - xx
    yy = gram.sum() - xx - 2 * xy
    values = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    # a permutation that leaves the sets as they are must count as equal however its sums were rounded
    reached = values[1:] >= values[0] - 1e-12 * values[0].abs().clamp(min=1)
    return (1 + int(reached.sum())) / (permutations + 1)
