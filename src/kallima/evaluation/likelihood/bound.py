"""The importance-weighted bound on the likelihood (Burda et al. 2016, arXiv:1509.00519)."""

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, as_numpy
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure


def importance_weighted_bound(log_weights: Array, *, samples: int | None = None) -> Measure:
    """Return the mean over N examples of log (1/k Σᵢ wᵢ), in nats, from log wᵢ = log p(x, zᵢ) − log q(zᵢ | x), (N, k).

    zᵢ are draws from q(z | x). k = 1 is the evidence lower bound; more draws never lower the bound on average, and it
    reaches log p(x) where q is the posterior. With `samples` below k, the mean over disjoint groups of so many draws.

    Raises:
        DataError: the weights are not (N, k), hold NaN or +∞, all of an example's are 0, or k is not made of `samples`.
    """
    weights = as_numpy(log_weights)
    if weights.ndim != 2 or weights.dtype.kind not in "fiu" or not weights.size:
        raise DataError(
            f"the log-weights have {weights.dtype} of shape {weights.shape}: they need to be numbers (N, k)"
        )
    weights = weights.astype(np.float64)
    if np.isnan(weights).any() or np.isposinf(weights).any():
        raise DataError("the log-weights hold NaN or infinity: the model has diverged")
    count, drawn = weights.shape
    size = drawn if samples is None else samples
    if size < 1 or drawn % size:
        raise DataError(f"{drawn} draws an example are not made of groups of {size}")
    groups = weights.reshape(count, drawn // size, size)
    top = groups.max(2, keepdims=True)
    if np.isneginf(top).any():
        raise DataError("all importance weights of an example are 0: the bound is −∞")
    shares = np.exp(groups - top)
    bounds = (top[..., 0] + np.log(shares.mean(2))).mean(1)
    notes = [f"a lower bound on log p(x), k = {size:,} importance samples"]
    if size > 1:
        effective = float((shares.sum(2) ** 2 / (shares**2).sum(2)).mean())
        notes.append(f"effective sample size {effective:.3g} of {size:,}")
    return mean_of(bounds, "examples", notes)
