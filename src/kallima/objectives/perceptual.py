"""How unlike two images are by the features of a network."""

from collections.abc import Sequence

from torch import Tensor

LEAST_VARIANCE = 1e-8


def unlikeness(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> list[Tensor]:
    """Return ½ mean (f − f̂)² / variance of f for each map of features, f wanted and f̂ found: (N, C, H, W) to scalars.

    Hou et al. 2017, arXiv:1610.00513, section 3.2, but for the variance: that of f about its channels' means over the
    batch. So what says nothing of the image costs ½, whatever the scale of a network's features.
    """
    costs = []
    for own, made in zip(wanted, found, strict=True):
        variance = (own - own.mean((0, 2, 3), keepdim=True)).square().mean().clamp_min(LEAST_VARIANCE)
        costs.append(0.5 * (own - made).square().mean() / variance)
    return costs
