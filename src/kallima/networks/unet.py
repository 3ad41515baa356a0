"""A small U-Net that is told the time, and a condition where there is one, for images of 8 to 256 pixels.

The shape is that of Ho et al. 2020 (arXiv:2006.11239, appendix B), with the time as a scale and a shift of each block's
second normalisation (Dhariwal & Nichol 2021, arXiv:2105.05233), made small enough to train without a GPU:

- the finest level is folded into channels (pixel unshuffle), so no block runs at full size unless it is asked for;
- halving is average pooling and doubling repeats pixels: the blocks beside them have convolutions enough;
- attention where the image is 8 pixels or less, where it costs little.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.pyramid import pyramid
from kallima.layers.time_embedding import TimeEmbedding

MOST = 4
"""How many times the finest level's channels a level has at most."""

ATTENDED = 8
"""The longest shorter side, in pixels, at which every place sees every other."""

HEAD = 32
"""Channels of a head of attention, where so many can be divided."""


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """Normalise groups of channels, 16 of them where they can be divided so."""
    return nn.GroupNorm(math.gcd(channels, 16), channels, affine=affine)


class Block(nn.Module):
    """(N, before, H, W) and what is told (N, E) to (N, after, H, W): two convolutions beside a shortcut.

    With `attention` each place then looks at all others.
    """

    def __init__(self, before: int, after: int, told: int, *, attention: bool):
        super().__init__()
        self.first = nn.Sequential(group_norm(before), nn.SiLU(), nn.Conv2d(before, after, 3, 1, 1))
        self.norm = group_norm(after, affine=False)
        self.steer = nn.Linear(told, 2 * after)
        self.second = zero(nn.Conv2d(after, after, 3, 1, 1))  # a block begins as its shortcut
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Return the features, changed as the time and the condition say."""
        scale, shift = self.steer(told)[:, :, None, None].chunk(2, 1)
        features = torch.addcmul(shift, self.norm(self.first(x)), 1 + scale)
        return self.attention(self.shortcut(x) + self.second(F.silu(features)))


class Attention(nn.Module):
    """Each place looks at all others: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = channels // HEAD if channels % HEAD == 0 else 1
        self.norm = group_norm(channels)
        self.ask = nn.Conv2d(channels, 3 * channels, 1)
        self.answer = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features with what was found elsewhere added."""
        flat = self.ask(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))  # (N, 3, heads, C / heads, places)
        query, key, value = flat.transpose(-1, -2).unbind(1)
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.answer(found.transpose(-1, -2).reshape(x.shape))


class UNet(nn.Module):
    """Images (N, C, H, W) at times (N,), under conditions (N, K) where there is a `condition_size` K, to (N, C, H, W).

    `width` is the number of channels at half the image's size, `depth` that of blocks at each size, down and up again.
    What leaves has no bound, and is 0 before training.
    """

    def __init__(
        self, image: Image, *, width: int = 32, depth: int = 2, condition_size: int = 0, full_size: bool = False
    ):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        self.fold = 1 if full_size else plan.fold
        halvings = range(self.fold - 1, plan.levels + 1)  # of the image, at each level
        sizes = [min(height, columns) >> halving for halving in halvings]
        channels = [width * min(2 ** max(halving - 1, 0), MOST) for halving in halvings]
        told = 4 * width
        self.time = TimeEmbedding(told)
        self.told = nn.Linear(condition_size, told, bias=False) if condition_size else None
        self.enter = nn.Conv2d(colours * self.fold**2, channels[0], 3, 1, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for before, own, size in zip([channels[0], *channels[:-1]], channels, sizes, strict=True):
            inputs, attention = [before] + [own] * (depth - 1), size <= ATTENDED
            self.down.append(nn.ModuleList(Block(each, own, told, attention=attention) for each in inputs))
        self.middle = Block(channels[-1], channels[-1], told, attention=True)
        for below, own, size in zip([channels[-1], *channels[:0:-1]], channels[::-1], sizes[::-1], strict=True):
            inputs, attention = [below + own] + [2 * own] * (depth - 1), size <= ATTENDED
            self.up.append(nn.ModuleList(Block(each, own, told, attention=attention) for each in inputs))
        last = zero(nn.Conv2d(channels[0], colours * self.fold**2, 3, 1, 1))  # nothing moves at first
        self.leave = nn.Sequential(group_norm(channels[0]), nn.SiLU(), last, nn.PixelShuffle(self.fold))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N,) and (N, K) to (N, C, H, W)."""
        told = self.time(time)
        if self.told is not None:
            assert condition is not None
            told = told + self.told(condition)
        told = F.silu(told)
        features = self.enter(F.pixel_unshuffle(x, self.fold))
        kept = []
        for level, blocks in enumerate(self.down):
            features = F.avg_pool2d(features, 2) if level else features
            for block in blocks:  # type: ignore[attr-defined]  # a ModuleList
                features = block(features, told)
                kept.append(features)
        features = self.middle(features, told)
        for level, blocks in enumerate(self.up):
            features = F.interpolate(features, scale_factor=2.0) if level else features
            for block in blocks:  # type: ignore[attr-defined]
                features = block(torch.cat([features, kept.pop()], 1), told)
        return self.leave(features)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Put the weights and biases to 0; return the layer."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
