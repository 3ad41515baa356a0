"""Latents of one length."""

from dataclasses import dataclass

import torch
from torch import Tensor

SHORTEST = 1e-6


@dataclass(frozen=True)
class SpherePrior:
    """z all around on the sphere of radius √dimensions: normal noise, whose mean square is brought to 1."""

    dimensions: int

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, dimensions) on `device`; `rng` is a generator on the CPU, None the device's default one."""
        if rng is None:
            noise = torch.randn(count, self.dimensions, device=device)
        else:
            noise = torch.randn(count, self.dimensions, generator=rng).to(device)
        return polar(noise)[0]


def polar(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Split vectors (N, d) into what has a mean square of 1, (N, d), and the root of their own, (N, 1)."""
    radius = (latent.square().mean(1, keepdim=True) + SHORTEST**2).sqrt()
    return latent / radius, radius
