"""Fully connected networks, for points and small images."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn


def hidden_layers(inputs: int, width: int, depth: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return `depth` layers of `width` units, each followed by its activation: (N, inputs) to (N, width)."""
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers)


class MLPGenerator(nn.Module):
    """Latents to examples of `shape`; images end in tanh, so that they lie in [-1, 1], points are unbounded."""

    def __init__(self, latent_dim: int, shape: Sequence[int], *, width: int = 128, depth: int = 3):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, tuple(shape)
        self.hidden = hidden_layers(latent_dim, width, depth)
        self.output = nn.Linear(width if depth else latent_dim, math.prod(self.shape))
        self.squash: nn.Module = nn.Tanh() if len(self.shape) > 1 else nn.Identity()

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, *shape)."""
        return self.squash(self.output(self.hidden(latent))).unflatten(1, self.shape)


class MLPDiscriminator(nn.Module):
    """Examples of `shape` to one logit each; without normalisation, so that examples don't meet."""

    def __init__(self, shape: Sequence[int], *, width: int = 128, depth: int = 3):
        super().__init__()
        inputs = math.prod(shape)
        self.hidden = hidden_layers(inputs, width, depth)
        self.output = nn.Linear(width if depth else inputs, 1)

    def forward(self, example: Tensor) -> Tensor:
        """(N, *shape) to (N,) logits."""
        return self.output(self.hidden(example.flatten(1))).squeeze(1)
