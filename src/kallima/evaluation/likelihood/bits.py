"""Bits per dimension: the likelihood of 8-bit data a value, comparable only when it says what was dequantised how.

A density of dequantised values bounds the probability of the whole numbers below it (Theis et al. 2016,
arXiv:1511.01844): P(x) ≥ exp E log p(x + u) × (width of a bin)^D, u uniform in a bin.
"""

import math
from typing import Literal

from kallima.errors import UsageError
from kallima.evaluation.arrays import Array, numbers
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

Dequantisation = Literal["none", "uniform", "variational"]


def bits_per_dim(
    log_likelihoods: Array, dimensions: int, *, dequantisation: Dequantisation, span: float = 1.0, levels: int = 256
) -> Measure:
    """Return the mean bits a dimension from their log-likelihoods in nats, (N,), of all `dimensions` each.

    With dequantisation "none" these are log-probabilities of the whole numbers themselves. With "uniform" noise, or
    "variational" (its log q already subtracted), they are log-densities over values whose `levels` steps take up `span`
    in all: 1 for [0, 1), 2 for [−1, 1), 256 for [0, 256).

    Raises:
        DataError: the log-likelihoods are not finite numbers (N,).
        UsageError: dimensions, span or levels make no sense, or the dequantisation is unknown.
    """
    values = numbers("log-likelihoods", log_likelihoods, 1)
    if dimensions < 1 or levels < 2 or not (math.isfinite(span) and span > 0):
        raise UsageError(f"{dimensions} dimensions, span {span} and {levels} levels: the first two need to be above 0")
    match dequantisation:
        case "none":
            volume, note = 0.0, "probabilities of the whole numbers, nothing dequantised"
        case "uniform" | "variational":
            volume = math.log(span / levels)
            note = f"{dequantisation} dequantisation, {levels} levels over a range of {span:g}: an upper bound"
        case _:
            raise UsageError(f"no dequantisation '{dequantisation}'; there are none, uniform, variational")
    bits = -(values / dimensions + volume) / math.log(2)
    return mean_of(bits, "examples", (note,))
