"""Batch normalisation whose scale and shift depend on a condition, and sequences that pass the condition on.

Class-conditional batch normalisation: Dumoulin et al. 2017 (arXiv:1610.07629), in a generator Miyato & Koyama 2018
(arXiv:1802.05637).
"""

import torch
from torch import Tensor, nn


class Conditioned(nn.Module):
    """A layer that takes a condition besides what it works on."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, …) under conditions (N, K)."""
        raise NotImplementedError


class ConditionalBatchNorm2d(Conditioned):
    """γ(c) (x − μ)/σ + β(c) with γ(c) = 1 + Wc and β(c) = Vc: for a one-hot c a scale and a shift a class."""

    def __init__(self, channels: int, condition_size: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale_and_shift = nn.Linear(condition_size, 2 * channels, bias=False)
        nn.init.normal_(self.scale_and_shift.weight, 0.0, 0.02)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) under conditions (N, K) to the same shape."""
        scale, shift = self.scale_and_shift(condition)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, self.norm(x), 1 + scale)


class ConditionedSequential(nn.Sequential):
    """A sequence that hands the condition to those of its layers that take one."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, …) under conditions (N, K), which may be left out where no layer takes one."""
        for layer in self:
            x = layer(x, condition) if isinstance(layer, (Conditioned, ConditionedSequential)) else layer(x)
        return x


def batch_norm(channels: int, condition_size: int) -> nn.Module:
    """Return the batch normalisation of a generator's layer: conditional where there are conditions."""
    return ConditionalBatchNorm2d(channels, condition_size) if condition_size else nn.BatchNorm2d(channels)
