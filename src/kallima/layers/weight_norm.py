"""Dense layers of normalised weights (Salimans & Kingma 2016, arXiv:1602.07868)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPREAD = 0.1
"""Standard deviation of the first v: only its direction counts, but the longer it is, the less a step turns it."""


class WeightNormalisedLinear(nn.Module):
    """y = g v x / ‖v‖ + b, each row of v normalised on its own: (N, inputs) to (N, outputs).

    g is learned for each output, or √2 for good unless it is `scaled`: that keeps the mean square of a layer's ReLUs
    where that of its inputs is, so noise between the layers stays as loud as they are.
    """

    def __init__(self, inputs: int, outputs: int, *, scaled: bool = False):
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs) * SPREAD)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = nn.Parameter(torch.ones(outputs)) if scaled else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        weight = F.normalize(self.direction, dim=1)
        outputs = F.linear(inputs, weight)
        return outputs * (math.sqrt(2) if self.scale is None else self.scale) + self.bias
