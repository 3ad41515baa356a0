"""The transforms of learned image compression (arXiv:1611.01704, 1802.01436): fully convolutional, for any size."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.layers.gdn import GDN
from kallima.layers.glorot import glorot

KERNEL = 5
FIRST_SPREAD = 5.0
"""How much larger latents start than variance-keeping weights make them: as large as the noise that hides them."""


class Analysis(nn.Module):
    """Images (N, C, H, W) to latents (N, outputs, h, w), halved `levels` times; H and W are multiples of 2^levels."""

    def __init__(self, colours: int, outputs: int, *, width: int, levels: int):
        super().__init__()
        sizes = [colours, *[width] * (levels - 1), outputs]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(itertools.pairwise(sizes)):
            layers.append(_down(before, after))
            if level < levels - 1:
                layers.append(GDN(after))
        self.layers = nn.Sequential(*layers)
        _scale(layers[-1], FIRST_SPREAD)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, outputs, h, w)."""
        return self.layers(images)


class Synthesis(nn.Module):
    """Latents (N, inputs, h, w) to images (N, C, H, W), doubled `levels` times: the mirror image of `Analysis`."""

    def __init__(self, inputs: int, colours: int, *, width: int, levels: int):
        super().__init__()
        self.inputs = inputs
        sizes = [inputs, *[width] * (levels - 1), colours]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(itertools.pairwise(sizes)):
            layers.append(_up(before, after))
            if level < levels - 1:
                layers.append(GDN(after, inverse=True))
        self.layers = nn.Sequential(*layers)
        _scale(layers[0], 1 / FIRST_SPREAD)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, C, H, W)."""
        return self.layers(latents)


class HyperAnalysis(nn.Module):
    """Latents (N, C, h, w) to what is said of their scales first, (N, outputs, ⌈h/4⌉, ⌈w/4⌉)."""

    def __init__(self, channels: int, outputs: int, *, width: int):
        super().__init__()
        first = glorot(nn.Conv2d(channels, width, 3, padding=1), math.sqrt(2))
        self.layers = nn.Sequential(first, nn.ReLU(), _down(width, width), nn.ReLU(), _down(width, outputs))

    def forward(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) to (N, outputs, ⌈h/4⌉, ⌈w/4⌉)."""
        return self.layers(latents.abs())


class HyperSynthesis(nn.Module):
    """What was said first (N, inputs, h, w) to the levels of the latents' scales (N, C, 4h, 4w), below `levels`.

    A softplus keeps levels above 0, and leaves a gradient there. `exactly` computes them in whole numbers: weights in
    steps of 2^-16, activations in steps of 2^-8. They are held as float64, in which sums below 2^53 have no rounding
    and so no order: every machine finds the same levels.
    """

    FRACTION = 2.0**8  # steps of an activation
    PRECISION = 2.0**16  # steps of a weight
    MOST_ACTIVATION = 2.0**20
    MOST_WEIGHT = 2.0**18  # times an activation times 2^13 terms is below 2^53

    def __init__(self, inputs: int, channels: int, *, width: int, levels: int, first: float):
        super().__init__()
        self.inputs, self.levels = inputs, levels
        last = glorot(nn.Conv2d(width, channels, 3, padding=1))
        assert last.bias is not None
        nn.init.constant_(last.bias, first)
        self.layers = nn.ModuleList([_up(inputs, width), _up(width, width), last])

    def forward(self, said: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, C, 4h, 4w)."""
        first, second, last = self.layers
        raw = last(torch.relu(second(torch.relu(first(said)))))
        return F.softplus(raw).clamp_max(self.levels - 1.0)

    @torch.no_grad()
    def exactly(self, said: Tensor) -> Tensor:
        """Return the nearest whole levels of whole numbers (N, inputs, h, w): int64, on the CPU."""
        x = self._bounded(said.cpu().double() * self.FRACTION)
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            assert layer.bias is not None
            weight = (layer.weight.cpu().double() * self.PRECISION).round().clamp(-self.MOST_WEIGHT, self.MOST_WEIGHT)
            bias = (layer.bias.cpu().double() * (self.PRECISION * self.FRACTION)).round()
            x = x.relu() if number else x
            if isinstance(layer, nn.ConvTranspose2d):
                x = F.conv_transpose2d(x, weight, bias, 2, KERNEL // 2, 1)
            else:
                x = F.conv2d(x, weight, bias, padding=1)
            x = self._bounded((x / self.PRECISION + 0.5).floor())
        halfway = [math.log(math.expm1(level + 0.5)) * self.FRACTION for level in range(self.levels - 1)]
        return torch.bucketize(x, torch.tensor(halfway, dtype=torch.float64).round())

    def _bounded(self, x: Tensor) -> Tensor:
        return x.clamp(-self.MOST_ACTIVATION, self.MOST_ACTIVATION)


def _down(before: int, after: int) -> nn.Conv2d:
    return glorot(nn.Conv2d(before, after, KERNEL, 2, KERNEL // 2), math.sqrt(2))


def _up(before: int, after: int) -> nn.ConvTranspose2d:
    return glorot(nn.ConvTranspose2d(before, after, KERNEL, 2, KERNEL // 2, 1), math.sqrt(2 * 4))  # a quarter meet


def _scale(layer: nn.Module, factor: float) -> None:
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    with torch.no_grad():
        layer.weight.mul_(factor)
