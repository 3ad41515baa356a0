"""Modes of the data: groups of examples that lie apart from each other, and whether the samples leave some out."""

import torch
from scipy.sparse.csgraph import connected_components
from scipy.special import betainc, gammainc
from torch import Tensor

NEIGHBOURS = 5
APART = 6.0
"""Two examples are linked within this many times the median distance to the fifth neighbour."""
SMALLEST = 8
"""Linked examples that make a mode: fewer are outliers."""
STARVED = 0.2
"""A group is missing when its share of the samples is less than this part of its share of the data."""
BY_CHANCE = 0.01
"""How likely samples of the data itself may be to miss so many groups; above it none is counted."""


def find_modes(distances: Tensor) -> Tensor | None:
    """Return the mode of each example, int64 (N,) from 0 on, or None where the data is of one piece.

    `distances` (N, N) are those between all examples. Examples that have their neighbours near are linked (Ester et al.
    1996, DBSCAN); the others belong to the mode of the nearest one that is.
    """
    if len(distances) <= NEIGHBOURS:
        return None
    neighbour = distances.kthvalue(NEIGHBOURS + 1, 1).values  # the first is the example itself
    reach = APART * neighbour.median()
    dense = neighbour <= reach
    _, pieces = connected_components(((distances <= reach) & dense & dense[:, None]).cpu().numpy(), directed=False)
    _, piece, sizes = torch.from_numpy(pieces).to(distances.device).unique(return_inverse=True, return_counts=True)
    large = sizes >= SMALLEST
    if large.sum() < 2:
        return None
    anchors = large[piece] & dense
    nearest = distances.masked_fill(~anchors, torch.inf).argmin(1)
    return piece[nearest].unique(return_inverse=True)[1]


def missing(real: Tensor, made: Tensor) -> int:
    """Return how many groups have less than a fifth of their share of the samples; 0 where that can be chance.

    `real` and `made` count the data and the samples by group (K,). Were the samples drawn as the data is, a group's
    count would be negative binomial (a Poisson one whose rate is known from the data's count), and the number of those
    that are short of a fifth nearly Poisson: so many groups as there are, so many chances to miss one.
    """
    known, drawn = real.double().cpu(), made.double().cpu()
    total = float(drawn.sum() / known.sum())
    few = (STARVED * total * known).ceil() - 1  # the largest count below a fifth
    short = (drawn <= few) & (few >= 0)
    chance = betainc(known.numpy() + 0.5, few.clamp_min(0).numpy() + 1, 1 / (1 + total))
    chance[(few < 0).numpy()] = 0
    count = int(short.sum())
    return count if count and gammainc(count, float(chance.sum())) < BY_CHANCE else 0
