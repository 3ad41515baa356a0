"""How far to trust a number: standard errors of means, and the jackknife over examples or folds."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from kallima.evaluation.score import Measure

FOLDS = 10


def mean_of(values: np.ndarray, what: str, notes: Iterable[str] = ()) -> Measure:
    """Return the mean of values (N,) with its standard error; `what` the values are of, in the plural."""
    if len(values) < 2:
        return Measure(float(values.mean()), notes=tuple(notes))
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Measure(float(values.mean()), spread, f"standard error over {what}", tuple(notes))


def share_of(right: np.ndarray, notes: Iterable[str] = ()) -> Measure:
    """Return the share of true values (N,) with its binomial standard error."""
    share = float(right.mean())
    return Measure(share, math.sqrt(share * (1 - share) / len(right)), "binomial standard error", tuple(notes))


def jackknifed(
    value: float, replicates: np.ndarray, what: str, notes: Iterable[str] = (), weights: np.ndarray | None = None
) -> Measure:
    """Return a value with the error that its delete-one replicates give; `what` was deleted, in the plural.

    `weights` count how many deletions lead to each replicate. A replicate that is not finite (nothing is left) leaves
    no error.
    """
    count = len(replicates) if weights is None else float(weights.sum())
    if count < 2 or not np.isfinite(replicates).all():
        return Measure(value, notes=tuple(notes))
    squares = (replicates - np.average(replicates, weights=weights)) ** 2
    spread = math.sqrt((count - 1) * float(np.average(squares, weights=weights)))
    return Measure(value, spread, f"jackknife over {what}", tuple(notes))


def fold_replicates(
    statistic: Callable[..., float],
    sets: tuple[np.ndarray, ...],
    *,
    seed: int,
    folds: int = FOLDS,
    paired: bool = False,
) -> np.ndarray:
    """Return `statistic` of the sets with one random fold after another left out; none where a set is too small.

    `paired` sets lose the same examples, others their own.
    """
    if min(map(len, sets)) < 2 * folds:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    of = [rng.permutation(len(one)) % folds for one in (sets[:1] if paired else sets)]
    of = of * len(sets) if paired else of
    return np.array([statistic(*(one[f != fold] for one, f in zip(sets, of, strict=True))) for fold in range(folds)])


def subset(rows: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return up to `limit` of the rows (N, D), drawn by `seed`: the same ones in whatever order the rows come."""
    rows = rows[np.lexsort(rows.T[::-1])]
    if len(rows) <= limit:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), limit, replace=False))]
