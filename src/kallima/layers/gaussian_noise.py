"""Noise between layers, against learning few examples by heart."""

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """x + σ ε, ε ~ N(0, I), while training; x itself in evaluation mode."""

    def __init__(self, deviation: float):
        super().__init__()
        self.deviation = deviation

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, …) to the same."""
        return inputs + self.deviation * torch.randn_like(inputs) if self.training else inputs
