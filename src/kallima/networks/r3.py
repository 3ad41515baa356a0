"""The pair of R3GAN (Huang et al. 2024, arXiv:2501.05441, section 4), for images of 8 to 256 pixels.

Residual blocks without normalisation: 1 x 1 up to twice the channels, 3 x 3 in groups of 16, 1 x 1 down, with a bias
and a LeakyReLU(0.2) before the second and the third, and no other bias anywhere; two blocks a level; between levels
bilinear resampling and, where the channels change, a 1 x 1 convolution on the smaller side. A generator starts from a
learned grid of which the latent weighs each channel, a discriminator ends in a learned grid that weighs each channel's
places, and one score of the sums. Weights begin as in Fixup (Zhang et al. 2019, arXiv:1901.09321): the last of each
block is 0, so that every block begins as the identity, and the first two shrink with the number of blocks.

Where we deviate:

- the finest level is folded into channels (pixel shuffle, Shi et al. 2016), so no block runs at full size;
- channels double with each halving, up to four times `width`; the paper's, 768, are too many for a CPU;
- the grid has 4 to 7 places a side, as `pyramid` plans it, not 4 only;
- resampling is by (1 3 3 1)/8, which treats left and right alike; the authors' code has (1 2 1)/4;
- images end in tanh, as those of all generators here;
- a condition is told to the generator beside the latent, without an embedding of its own.
"""

import itertools
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.laplacian import down, up
from kallima.layers.pyramid import pyramid
from kallima.networks.discriminator import Discriminator

MOST = 4
GROUP = 16
"""Channels of a group; where they do not divide those of a layer, the largest common divisor."""
BLOCKS = 2
"""Residual blocks a level."""
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the variance under a LeakyReLU of this slope (He et al. 2015)."""

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class Block(nn.Module):
    """x + W₃ φ(W₂ φ(W₁ x + b₁) + b₂), of the same shape; W₃ begins as 0.

    W₁ and W₂ begin as what keeps the variance times L^(−1/4), L the `depth` of the network in blocks: m layers a block
    shrink by L^(−1/(2m − 2)) (Fixup, section 3).
    """

    def __init__(self, channels: int, depth: int):
        super().__init__()
        inner = 2 * channels
        gain = GAIN * depth**-0.25
        widen = convolution(channels, inner, gain=gain)
        mix = convolution(inner, inner, size=3, groups=inner // math.gcd(inner, GROUP), gain=gain)
        self.residual = nn.Sequential(
            widen, BiasedActivation(inner), mix, BiasedActivation(inner), convolution(inner, channels, gain=0.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x + self.residual(x)


class BiasedActivation(nn.Module):
    """A bias a channel, from 0, and a LeakyReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return nn.functional.leaky_relu(x + self.bias, SLOPE)


class Enlarge(nn.Module):
    """(N, before, H, W) to (N, after, 2H, 2W): mixed, then interpolated."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.mix = mixing(before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features at twice the size."""
        return up(self.mix(x))


class Shrink(nn.Module):
    """(N, before, H, W) to (N, after, H/2, W/2): blurred and thinned, then mixed."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.mix = mixing(before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features at half the size."""
        return self.mix(down(x))


class GenerativeBasis(nn.Module):
    """Latents (N, D) to (N, C, H, W): a learned grid, each channel times what a linear map makes of the latent."""

    def __init__(self, inputs: int, channels: int, grid: tuple[int, int]):
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, *grid))
        self.weigh = variance_kept(nn.Linear(inputs, channels, bias=False))

    def forward(self, latent: Tensor) -> Tensor:
        """Return the coarsest features."""
        return self.weigh(latent)[:, :, None, None] * self.basis


class DiscriminativeBasis(nn.Module):
    """(N, C, H, W) to (N, C): each channel's places weighed by a learned grid (a depthwise convolution as large)."""

    def __init__(self, channels: int, grid: tuple[int, int]):
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, *grid) / math.sqrt(math.prod(grid)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of whole images."""
        return (x * self.basis).sum((2, 3))


def variance_kept(layer: Layer, gain: float = 1.0) -> Layer:
    """Draw a layer's weights from N(0, gain² / inputs); return the layer."""
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


def convolution(before: int, after: int, *, size: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """Return a convolution that keeps the size, without a bias."""
    return variance_kept(nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=False), gain)


def mixing(before: int, after: int) -> nn.Module:
    """Return a 1 x 1 convolution where the channels change, else nothing."""
    return nn.Identity() if before == after else convolution(before, after)


class R3Generator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]; `width` is the number of channels at half the image's size.

    With a `condition_size` K it takes (N, latent_dim + K), the condition last.
    """

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64, condition_size: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.folded_channels(width, MOST)[::-1]
        depth = BLOCKS * len(channels)
        layers: list[nn.Module] = [GenerativeBasis(latent_dim + condition_size, channels[0], plan.grid)]
        layers += [Block(channels[0], depth) for _ in range(BLOCKS)]
        for before, after in itertools.pairwise(channels):
            layers += [Enlarge(before, after), *(Block(after, depth) for _ in range(BLOCKS))]
        paint = convolution(channels[-1], colours * plan.fold**2)
        self.grow = nn.Sequential(*layers, paint, nn.PixelShuffle(plan.fold), nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        return self.grow(latent)


class R3Discriminator(Discriminator):
    """Images (N, C, H, W) to one score each; `width` is the number of channels at half the image's size.

    Examples do not meet in it, as gradient penalties need it.
    """

    def __init__(self, image: Image, *, width: int = 64):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.folded_channels(width, MOST)
        depth = BLOCKS * len(channels)
        layers: list[nn.Module] = [nn.PixelUnshuffle(plan.fold), convolution(colours * plan.fold**2, channels[0])]
        for before, after in itertools.pairwise(channels):
            layers += [*(Block(before, depth) for _ in range(BLOCKS)), Shrink(before, after)]
        layers += [Block(channels[-1], depth) for _ in range(BLOCKS)]
        body = nn.Sequential(*layers, DiscriminativeBasis(channels[-1], plan.grid))
        super().__init__(body, variance_kept(nn.Linear(channels[-1], 1, bias=False)))
