"""A small residual pair (Miyato et al. 2018, arXiv:1802.05957, table 4), for images of 8 to 256 pixels.

The discriminator's layers are all spectrally normalised. 1 x 1 shortcuts run on the smaller side of a resampling,
which gives the same values (they commute with nearest-neighbour upsampling and with average pooling) for a quarter of
the work.
"""

import itertools
import math

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kallima.data.spec import Image
from kallima.layers.pyramid import pyramid

MOST = 4


def _convolution(before: int, after: int, kernel: int, *, gain: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class GrowingBlock(nn.Module):
    """(N, before, H, W) to (N, after, 2H, 2W): normalise, activate, upsample, convolve, twice over, plus a shortcut."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.first_norm = nn.BatchNorm2d(before)
        self.first = _convolution(before, after, 3, gain=math.sqrt(2))
        self.second_norm = nn.BatchNorm2d(after)
        self.second = _convolution(after, after, 3, gain=math.sqrt(2))
        self.shortcut = _convolution(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the doubled features."""
        h = self.first(F.interpolate(F.relu(self.first_norm(x)), scale_factor=2.0))
        h = self.second(F.relu(self.second_norm(h)))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0)


class ShrinkingBlock(nn.Module):
    """(N, before, H, W) to (N, after, H/2, W/2), or the same size where it doesn't `shrink`, spectrally normalised.

    The `first` block of a network sees pixels and must not rectify them.
    """

    def __init__(self, before: int, after: int, *, shrink: bool = True, first: bool = False):
        super().__init__()
        self.entry: nn.Module = nn.Identity() if first else nn.ReLU()
        self.pool: nn.Module = nn.AvgPool2d(2) if shrink else nn.Identity()
        self.first = spectral_norm(_convolution(before, after, 3, gain=math.sqrt(2)))
        self.second = spectral_norm(_convolution(after, after, 3, gain=math.sqrt(2)))
        self.shortcut: nn.Module = nn.Identity()
        if shrink or before != after:
            self.shortcut = spectral_norm(_convolution(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the halved features."""
        h = self.second(F.relu(self.first(self.entry(x))))
        return self.pool(h) + self.shortcut(self.pool(x))


class ResNetGenerator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]; `width` is the number of channels at the image's own size."""

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.channels(width, MOST)[::-1]
        self.grid = (channels[0], *plan.grid)
        self.project = nn.Linear(latent_dim, math.prod(self.grid))
        nn.init.xavier_uniform_(self.project.weight)
        pairs = zip([channels[0], *channels[:-1]], channels, strict=True)
        self.blocks = nn.Sequential(*(GrowingBlock(before, after) for before, after in pairs))
        self.norm = nn.BatchNorm2d(channels[-1])
        self.paint = _convolution(channels[-1], colours, 3)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        h = self.blocks(self.project(latent).unflatten(1, self.grid))
        return self.paint(F.relu(self.norm(h))).tanh()


class ResNetDiscriminator(nn.Module):
    """Images (N, C, H, W) to one logit each; `width` is the number of channels in the first block."""

    def __init__(self, image: Image, *, width: int = 64):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.channels(width, MOST)
        blocks = [ShrinkingBlock(colours, channels[0], first=True)]
        blocks += [ShrinkingBlock(a, b) for a, b in itertools.pairwise(channels)]
        blocks += [ShrinkingBlock(channels[-1], channels[-1], shrink=False)]
        self.blocks = nn.Sequential(*blocks)
        self.score = spectral_norm(nn.Linear(channels[-1], 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to (N,) logits."""
        features = F.relu(self.blocks(image)).sum((2, 3))  # (N, channels)
        return self.score(features).squeeze(1)
