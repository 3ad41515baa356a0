"""Generators so simple that the density of what they make is known: points (N, D) from latents z ~ N(0, I)."""

import math

import torch
from torch import Tensor, nn

from kallima.networks.mlp import hidden_layers

REACH = 8.0  # latents further out have a mass of 1e-15
CELLS = 4_096


class AffineGenerator(nn.Module):
    """x = b + A z with z as long as x, so that p_G = N(b, A Aᵀ); it starts as N(`mean`, `deviation`² I)."""

    def __init__(self, dimensions: int, *, mean: float = 0.0, deviation: float = 1.0):
        super().__init__()
        self.latent_dim = dimensions
        self.mean = nn.Parameter(torch.full((dimensions,), mean))
        self.factor = nn.Parameter(deviation * torch.eye(dimensions))

    def forward(self, latent: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        return self.mean + latent @ self.factor.T

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p_G, in nats: (N, D) to (N,)."""
        latent = torch.linalg.solve(self.factor, (points - self.mean).T)  # (D, N)
        log_volume = torch.linalg.slogdet(self.factor)[1]
        return -0.5 * latent.square().sum(0) - log_volume - 0.5 * len(latent) * math.log(2 * math.pi)


class CurveGenerator(nn.Module):
    """A dense network with smooth units from a line to a line: it can split one Gaussian into any number of modes."""

    def __init__(self, *, width: int, depth: int):
        super().__init__()
        self.latent_dim = 1
        self.hidden = hidden_layers(1, width, depth, nn.Tanh)
        self.output = nn.Linear(width if depth else 1, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, 1) to (N, 1)."""
        return self.output(self.hidden(latent))

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p_G, in nats: (N, 1) to (N,).

        Of all z in [-8, 8], in cells so small that G is straight in each: the mass of a cell lies evenly between what
        its ends become, and every cell that covers x adds to the density there.
        """
        ends = torch.linspace(-REACH, REACH, CELLS + 1, device=points.device)[:, None]
        masses = torch.special.ndtr(ends[:, 0].double()).diff()  # (CELLS,)
        made = self(ends)[:, 0].double()
        low, high = torch.minimum(made[:-1], made[1:]), torch.maximum(made[:-1], made[1:])
        x = points.double()  # (N, 1)
        heights = masses / (high - low).clamp_min(1e-9)
        density = torch.where((x >= low) & (x < high), heights, 0.0).sum(1)
        return density.clamp_min(1e-30).log().to(points)
