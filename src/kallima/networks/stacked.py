"""A deep dense autoencoder as a stack of shallow ones, whose halves can share their weights."""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class Level(nn.Module):
    """One layer up and the layer that mirrors it down; `tied` halves have one matrix, transposed on the way down."""

    def __init__(self, outer: int, inner: int, *, tied: bool):
        super().__init__()
        self.up = nn.Linear(outer, inner)
        self.down = nn.Linear(inner, outer)
        if tied:
            del self.down.weight
            self.down.register_parameter("weight", None)
        self.tied = tied

    def encode(self, x: Tensor) -> Tensor:
        """(N, outer) to (N, inner), before any activation."""
        return self.up(x)

    def decode(self, h: Tensor) -> Tensor:
        """(N, inner) to (N, outer), before any activation."""
        return F.linear(h, self.up.weight.T if self.tied else self.down.weight, self.down.bias)


class StackedAutoencoder(nn.Module):
    """Images through layers of `units` down to a code of `latent_dim` numbers, and back to logits of pixels.

    Hidden layers end in `activation`; the code is linear, or sigmoid where it is `bounded`.
    """

    def __init__(
        self, image: Image, units: Sequence[int], latent_dim: int, *, activation: str, tied: bool, bounded: bool
    ):
        super().__init__()
        self.shape, self.activation, self.bounded = image.shape, ACTIVATIONS[activation], bounded
        sizes = [math.prod(image.shape), *units, latent_dim]
        self.levels = nn.ModuleList(Level(a, b, tied=tied) for a, b in itertools.pairwise(sizes))

    def ascend(self, x: Tensor, level: int) -> Tensor:
        """Take what lies below a level (N, outer) to what lies above it (N, inner), activated."""
        part = self.levels[level]
        assert isinstance(part, Level)
        h = part.encode(x)
        if level == len(self.levels) - 1:
            return torch.sigmoid(h) if self.bounded else h
        return self.activation(h)

    def descend(self, h: Tensor, level: int) -> Tensor:
        """Take what lies above a level back below it, activated but for the pixels', which are logits."""
        part = self.levels[level]
        assert isinstance(part, Level)
        x = part.decode(h)
        return self.activation(x) if level else x

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to codes (N, latent_dim)."""
        h = images.flatten(1)
        for level in range(len(self.levels)):
            h = self.ascend(h, level)
        return h

    def decode(self, codes: Tensor) -> Tensor:
        """(N, latent_dim) to logits of pixels (N, C, H, W)."""
        x = codes
        for level in reversed(range(len(self.levels))):
            x = self.descend(x, level)
        return x.unflatten(1, self.shape)
