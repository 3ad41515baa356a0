"""Directions in a latent space that mean something, found from latents of examples with and without it."""

from typing import Literal

import torch
from torch import Tensor

Finding = Literal["mean", "probe"]

RIDGE = 1e-2
"""Of the mean variance of a latent: how much a probe's weights are held back."""


def mean_difference(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the step (d,) from the mean of the latents without a thing (M, d) to that of those with it (N, d)."""
    return positive.mean(0) - negative.mean(0)


def probe_direction(positive: Tensor, negative: Tensor, *, ridge: float = RIDGE) -> Tensor:
    """Return a step (d,) along the normal of the plane that best tells latents with a thing from those without.

    The plane is that of ridge regression on +1 and −1, in closed form. The step is as long as the two means are apart
    along the normal. Where latents vary in other things too (dimensions with much variance that the means share by
    chance), it leaves these alone, which the difference of means does not.
    """
    latents = torch.cat([positive, negative]).double()
    sides = torch.cat([latents.new_ones(len(positive)), -latents.new_ones(len(negative))])
    centred, wanted = latents - latents.mean(0), sides - sides.mean()
    products = centred.T @ centred / len(latents)
    held = ridge * products.diagonal().mean().clamp_min(1e-12)
    normal = torch.linalg.solve(
        products + held * torch.eye(len(products), dtype=products.dtype, device=products.device),
        centred.T @ wanted / len(latents),
    )
    normal = normal / normal.norm().clamp_min(1e-12)
    gap = normal @ mean_difference(positive.double(), negative.double())
    return (gap * normal).to(positive)


def direction(positive: Tensor, negative: Tensor, *, by: Finding = "mean") -> Tensor:
    """Return the step (d,) that gives a latent what the positive ones (N, d) have and the negative ones (M, d) lack."""
    return mean_difference(positive, negative) if by == "mean" else probe_direction(positive, negative)
