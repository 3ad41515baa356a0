"""A moment in [0, 1] as waves that a network can tell moments apart by."""

import math

import torch
from torch import Tensor, nn

SLOWEST, FASTEST = 1.0, 200.0
"""Radians that the slowest and the fastest wave turn from 0 to 1; the fastest tells hundredths apart."""


class TimeEmbedding(nn.Module):
    """Times (N,) to `size` numbers: cosines and sines of frequencies that grow geometrically, through two layers.

    The waves are those of Vaswani et al. 2017 (arXiv:1706.03762, section 3.5), over time instead of places.
    """

    frequencies: Tensor

    def __init__(self, size: int, *, waves: int = 32):
        super().__init__()
        steps = torch.linspace(0, 1, waves)
        self.register_buffer("frequencies", SLOWEST * (FASTEST / SLOWEST) ** steps)
        self.mix = nn.Sequential(nn.Linear(2 * waves, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self, time: Tensor) -> Tensor:
        """(N,) to (N, size)."""
        angles = time[:, None] * self.frequencies
        return self.mix(torch.cat([angles.cos(), angles.sin()], 1) * math.sqrt(2))
