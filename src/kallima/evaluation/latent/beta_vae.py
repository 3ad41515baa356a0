"""The β-VAE metric (Higgins et al. 2017): can a linear classifier tell which factor was held fixed?

A point is the mean of |z₁ − z₂| over pairs of examples that share the value of one factor and differ in the others as
they come; its class is the factor. 1 where each factor has a dimension of its own, and also where it has several.
"""

import warnings

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, numbers
from kallima.evaluation.latent.mig import factor_classes
from kallima.evaluation.resampling import share_of
from kallima.evaluation.score import Measure

PAIRS = 64
TRAINED, TESTED = 2000, 1000


def beta_vae_score(
    codes: Array, factors: Array, *, pairs: int = PAIRS, trained: int = TRAINED, tested: int = TESTED, seed: int = 0
) -> Measure:
    """Return the accuracy of a linear classifier of the fixed factor, from codes (N, d) and discrete factors (N, K).

    The classifier, a logistic regression on standardised differences, learns from `trained` points of `pairs` pairs and
    is judged on `tested` others; their pairs come from the same N examples.

    Raises:
        DataError: codes or factors are broken or of unlike counts, or fewer than two factors vary.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x = numbers("codes", codes, 2)
    truth = factor_classes(factors, len(x))
    varying = [k for k in range(truth.shape[1]) if len(np.unique(truth[:, k])) > 1]
    if len(varying) < 2:
        raise DataError("fewer than two factors vary: there is nothing to tell apart")
    if min(pairs, trained, tested) < 1:
        raise DataError("pairs and points need to be 1 or more")
    rng = np.random.default_rng(seed)
    fixed = rng.integers(len(varying), size=trained + tested)
    points = np.empty((len(fixed), x.shape[1]))
    for k, factor in enumerate(varying):
        which = np.flatnonzero(fixed == k)
        points[which] = _differences(x, truth[:, factor], len(which), pairs, rng)
    deviation = points[:trained].std(0)
    deviation[deviation == 0] = 1
    points = (points - points[:trained].mean(0)) / deviation
    if len(np.unique(fixed[:trained])) < 2:
        raise DataError(f"{trained} points to learn from are too few: one factor alone was drawn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=10, max_iter=1000).fit(points[:trained], fixed[:trained])
    right = model.predict(points[trained:]) == fixed[trained:]
    notes = [f"{trained:,} points of {pairs} pairs to learn from, {tested:,} to judge, {len(varying)} factors"]
    notes.append(f"chance is {1 / len(varying):.0%}")
    return share_of(right, notes)


def _differences(
    codes: np.ndarray, factor: np.ndarray, points: int, pairs: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the mean |z₁ − z₂|, (points, d), over pairs of one value of the factor."""
    order = np.argsort(factor, kind="stable")
    starts = np.searchsorted(factor[order], np.arange(factor.max() + 1))
    sizes = np.bincount(factor)
    total = np.zeros((points, codes.shape[1]))
    for _ in range(pairs):
        first = rng.integers(len(codes), size=points)
        value = factor[first]
        second = order[starts[value] + rng.integers(sizes[value])]
        total += np.abs(codes[first] - codes[second])
    return total / pairs
