"""Fully connected networks, for points and small images."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from kallima.networks.discriminator import Discriminator


def hidden_layers(inputs: int, width: int, depth: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return `depth` layers of `width` units, each followed by its activation: (N, inputs) to (N, width)."""
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers)


class MLPGenerator(nn.Module):
    """Latents to examples of `shape`; images end in tanh, so that they lie in [-1, 1], points are unbounded.

    With a `condition_size` K it takes (N, latent_dim + K), the condition last.
    """

    def __init__(
        self, latent_dim: int, shape: Sequence[int], *, width: int = 128, depth: int = 3, condition_size: int = 0
    ):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, tuple(shape)
        inputs = latent_dim + condition_size
        self.hidden = hidden_layers(inputs, width, depth)
        self.output = nn.Linear(width if depth else inputs, math.prod(self.shape))
        self.squash: nn.Module = nn.Tanh() if len(self.shape) > 1 else nn.Identity()

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, *shape)."""
        return self.squash(self.output(self.hidden(latent))).unflatten(1, self.shape)


class MLPDiscriminator(Discriminator):
    """Examples of `shape` to one score each; without normalisation, so that examples don't meet."""

    def __init__(self, shape: Sequence[int], *, width: int = 128, depth: int = 3):
        inputs = math.prod(shape)
        body = nn.Sequential(nn.Flatten(), *hidden_layers(inputs, width, depth))
        super().__init__(body, nn.Linear(width if depth else inputs, 1))
