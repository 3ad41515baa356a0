"""Mutual information gap (Chen et al. 2018, arXiv:1802.04942): does one dimension of the code alone know each factor?

For each factor, the mutual information with the best dimension less that with the second best, over the factor's
entropy; the mean over factors. Estimated as by Locatello et al. 2019 (arXiv:1811.12359): the codes, means of the
posterior, cut into 20 bins of equal width a dimension.
"""

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, alike, as_numpy, classes, numbers
from kallima.evaluation.resampling import fold_replicates, jackknifed
from kallima.evaluation.score import Measure

BINS = 20


def mig(codes: Array, factors: Array, *, bins: int = BINS, seed: int = 0) -> Measure:
    """Return the mutual information gap of codes (N, d), d ≥ 2, for discrete factors (N, K): 1 at best, 0 at worst.

    The seed deals out the folds of the error alone.

    Raises:
        DataError: codes or factors are broken, of unlike counts, the code has one dimension, or no factor varies.
    """
    x = numbers("codes", codes, 2)
    truth = factor_classes(factors, len(x))
    if x.shape[1] < 2:
        raise DataError("the codes have one dimension: a gap needs two or more")
    if bins < 2:
        raise DataError(f"{bins} bins tell nothing: take two or more")
    binned = np.stack([_binned(column, bins) for column in x.T], 1)
    varying = [k for k in range(truth.shape[1]) if len(np.unique(truth[:, k])) > 1]
    if not varying:
        raise DataError("no factor varies: a gap needs factors of two or more values")
    notes = [f"codes in {bins} bins of equal width, {len(varying)} factors"]
    if len(varying) < truth.shape[1]:
        notes.append(f"{truth.shape[1] - len(varying)} factors that never vary are left out")
    truth = truth[:, varying]
    replicates = fold_replicates(_gap, (binned, truth), seed=seed, paired=True)
    return jackknifed(_gap(binned, truth), replicates, f"{len(replicates)} folds", notes)


def factor_classes(factors: Array, count: int) -> np.ndarray:
    """Return factors (N, K) as class indices int64 (N, K).

    Raises:
        DataError: they are not whole numbers (N, K), or not `count`.
    """
    table = as_numpy(factors)
    if table.ndim != 2 or not table.size or table.dtype.kind not in "iub":
        raise DataError(f"the factors have {table.dtype} of shape {table.shape}: they need to be whole numbers (N, K)")
    alike("factors", len(table), "codes", count)
    return np.stack([classes("factors", column) for column in table.T], 1)


def _binned(column: np.ndarray, bins: int) -> np.ndarray:
    low, high = column.min(), column.max()
    if high <= low:
        return np.zeros(len(column), dtype=np.int64)
    return np.minimum(((column - low) / (high - low) * bins).astype(np.int64), bins - 1)


def _gap(binned: np.ndarray, factors: np.ndarray) -> float:
    gaps = []
    for factor in factors.T:
        entropy = _entropy(factor)
        if entropy == 0:  # a fold may take all but one value away
            continue
        width = int(binned.max()) + 1
        # I(z; v) = H(z) + H(v) − H(z, v)
        known = sorted(_entropy(z) + entropy - _entropy(factor * width + z) for z in binned.T)
        gaps.append((known[-1] - known[-2]) / entropy)
    return float(np.mean(gaps)) if gaps else float("nan")


def _entropy(values: np.ndarray) -> float:
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log(shares)).sum())
