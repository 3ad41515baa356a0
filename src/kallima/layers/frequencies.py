"""Distributions of whole numbers as whole numbers, so that every machine codes with the very same."""

import math

import torch
from torch import Tensor

TOTAL = 1 << 20
"""What the frequencies of a table add up to."""

LEAST_SCALE, GREATEST_SCALE, SCALES = 0.11, 256.0, 64
"""The normal distributions that there are tables of: their deviations are spaced evenly on a logarithmic scale."""

Table = tuple[int, Tensor]
"""The smallest value of a table, and the frequencies int64 (n + 1,) of it and those that follow; the last is that of
all values outside. They add up to `TOTAL`, and none is 0."""

_TAIL = 2.0**-17  # what a table leaves outside on either side


def tabulate(first: int, probabilities: Tensor) -> Table:
    """Return the table of the values from `first` on with these probabilities, float64 (n,); the rest lies outside.

    What rounding down leaves over, less than one a value, goes to the first of them.
    """
    rest = (1 - probabilities.sum()).clamp_min(0)
    shares = torch.cat([probabilities, rest[None]])
    counts = (shares * (TOTAL - len(shares))).floor().long() + 1
    counts[: int(TOTAL - counts.sum())] += 1
    return first, counts


def normal_tables() -> list[Table]:
    """Return the tables of normal distributions around 0, one for each of the `SCALES`."""
    tables = []
    for level in range(SCALES):
        scale = float(scale_of(torch.tensor(float(level), dtype=torch.float64)))
        reach = max(1, math.ceil(4.4 * scale))  # beyond 4.4 deviations lie 2 ** -17
        edges = (torch.arange(-reach, reach + 2, dtype=torch.float64) - 0.5) / scale
        below = torch.special.ndtr(-edges.abs())  # exact in both tails
        inside = (edges[1:] > 0) & (edges[:-1] < 0)
        tables.append(tabulate(-reach, torch.where(inside, 1 - below[1:] - below[:-1], below.diff().abs())))
    return tables


def table_of(first: int, cumulative_logits: Tensor) -> Table:
    """Return the table of values from `first` on of a distribution with these logits of its cumulative function.

    They are float64 (n + 1,), at the edges half below and half above each of n values. The ends with little
    probability are left outside.
    """
    count = len(cumulative_logits) - 1
    low = int((torch.sigmoid(cumulative_logits) < _TAIL).sum()) - 1  # the last edge below which there is little
    high = count + 1 - int((torch.sigmoid(-cumulative_logits) < _TAIL).sum())  # the first above which there is little
    low = min(max(low, 0), count - 1)
    high = max(min(high, count), low + 1)
    edges = cumulative_logits[low : high + 1]
    return tabulate(first + low, bin_between(edges[:-1], edges[1:]))


def bin_between(lower: Tensor, upper: Tensor) -> Tensor:
    """Return σ(upper) − σ(lower) of logits of any shape, from the side on which both are small."""
    sign = torch.where(lower + upper > 0, -1.0, 1.0).to(lower.dtype)
    return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()


def scale_of(level: Tensor) -> Tensor:
    """Return the deviation that a level from 0 to 63, whole or not, stands for."""
    step = math.log(GREATEST_SCALE / LEAST_SCALE) / (SCALES - 1)
    return LEAST_SCALE * torch.exp(step * level)
