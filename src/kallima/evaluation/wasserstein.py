"""Wasserstein-1 distance: the least mean way that mass travels from one set to the other.

Exact in one dimension, where it is the area between the distribution functions; in more, the optimum of the transport
problem between the two sets. Small sets of unlike sizes go to a linear programme. Other sets are matched one to one,
which is the same optimum for sets of one size (Birkhoff), up to 1,000 of each.

In D > 2 dimensions two draws of one distribution of N points lie about N^(−1/D) apart: compare with the note that says
how far two halves of the real points are from each other, and only distances at one N with each other.
"""

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, numbers
from kallima.evaluation.resampling import fold_replicates, jackknifed, subset
from kallima.evaluation.score import Measure

MATCHED = 1000
_PAIRS = 10_000  # of a linear programme


def wasserstein(real: Array, generated: Array, *, seed: int = 0) -> Measure:
    """Return the Wasserstein-1 distance between (N, D) and (M, D), in their own units, by Euclidean distance.

    Raises:
        DataError: the sets are not finite numbers of one dimension.
    """
    x, y = numbers("real points", real, 2), numbers("generated points", generated, 2)
    dimensions = x.shape[1]
    if dimensions != y.shape[1]:
        raise DataError(f"the real points have {dimensions} dimensions, the generated ones {y.shape[1]}")
    notes = []
    if dimensions == 1:
        size = max(len(x), len(y))
    elif len(x) * len(y) <= _PAIRS:
        size = max(len(x), len(y))
        notes.append("by a linear programme" if len(x) != len(y) else "by an optimal matching")
    else:
        size = min(len(x), len(y), MATCHED)
        of = "" if size == len(x) == len(y) else f" of {size:,} drawn from each set"
        notes.append(f"by an optimal matching{of}")
    first, second = subset(x, size, seed), subset(y, size, seed)
    value = _distance(first, second)
    half = min(size, len(x) // 2)
    if dimensions > 1 and half >= 2:
        halves = np.random.default_rng(seed).permutation(subset(x, 2 * half, seed))
        notes.append(f"two draws of {half:,} real points each lie {_distance(halves[:half], halves[half:]):.3g} apart")
    replicates = fold_replicates(_distance, (first, second), seed=seed)
    return jackknifed(value, replicates, f"{len(replicates)} folds", notes)


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    if x.shape[1] == 1:
        return _area_between(np.sort(x[:, 0]), np.sort(y[:, 0]))
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    costs = cdist(x, y)
    if len(x) == len(y):
        return float(costs[linear_sum_assignment(costs)].mean())
    return _transported(costs)


def _area_between(x: np.ndarray, y: np.ndarray) -> float:
    """Return ∫ |F(t) − G(t)| dt of two sorted sets."""
    steps = np.sort(np.concatenate([x, y]))
    below_x = np.searchsorted(x, steps[:-1], side="right") / len(x)
    below_y = np.searchsorted(y, steps[:-1], side="right") / len(y)
    return float((np.abs(below_x - below_y) * np.diff(steps)).sum())


def _transported(costs: np.ndarray) -> float:
    """Return the least Σ P·costs over plans P ≥ 0 whose rows sum to 1/N and columns to 1/M."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = costs.shape
    rows = kron(eye_array(n), np.ones((1, m)))
    columns = kron(np.ones((1, n)), eye_array(m))
    # the last of the sums follows from the others
    sums = vstack([rows, columns]).tocsr()[:-1]
    amounts = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])[:-1]
    found = linprog(costs.ravel(), A_eq=sums, b_eq=amounts, method="highs")
    if not found.success:
        raise DataError(f"the transport problem was not solved: {found.message}")
    return float(found.fun)
