"""Layers with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def leaky(x: Tensor) -> Tensor:
    """√2 · LeakyReLU(x) with slope 0.2 below 0: normal numbers of variance 1 keep their mean square, but for 4 %."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class EqualisedLinear(nn.Module):
    """w x + b with w = rate · gain · v / √inputs, v ~ N(0, 1/rate²), and b = rate · u, which starts at `bias`.

    Adam's steps are as long whatever a weight's size: with v of one size everywhere all layers learn equally fast, and
    those of a smaller `rate` slower by that much (0.01 in a mapping network, Karras et al. 2019).
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0, gain: float = 1.0):
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.rate, self.scale = rate, rate * gain / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualisedConv2d(nn.Module):
    """A convolution with weights gain · v / √(inputs · kernel²), v ~ N(0, 1), and a bias that starts at 0.

    Padded by half the kernel unless `padding` says otherwise.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        stride: int = 1,
        padding: int | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.in_channels, self.out_channels, self.stride = inputs, outputs, stride
        self.padding = kernel // 2 if padding is None else padding
        self.scale = gain / (kernel * math.sqrt(inputs))
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H', W')."""
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)
