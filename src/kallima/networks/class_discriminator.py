"""The dense pair of semi-supervised learning (Salimans et al. 2016, arXiv:1606.03498; the networks of its section 6.1).

A classifier whose K logits also say whether an example is real, and a generator with batch normalisation.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kallima.layers.gaussian_noise import GaussianNoise
from kallima.layers.modes import evaluating
from kallima.layers.weight_norm import WeightNormalisedLinear
from kallima.networks.discriminator import Discriminator

INPUT_NOISE, NOISE = 0.6, 0.5
"""Standard deviations of the noise on examples, which is 0.3 where pixels are in [0, 1], and between layers."""


class ClassDiscriminator(Discriminator):
    """Examples of `shape` to a logit a class; their logsumexp is the score by which an example is real.

    Layers of `width`, ½, ¼, ¼ and ¼ times as many units, weight-normalised, each after Gaussian noise.
    """

    def __init__(self, shape: Sequence[int], classes: int, *, width: int = 1000):
        sizes = [math.prod(shape), *(max(width // part, 2) for part in (1, 2, 4, 4, 4))]
        layers: list[nn.Module] = [nn.Flatten()]
        for place, (before, after) in enumerate(itertools.pairwise(sizes)):
            noise = GaussianNoise(NOISE if place else INPUT_NOISE)
            layers += [noise, WeightNormalisedLinear(before, after), nn.ReLU()]
        head = nn.Sequential(GaussianNoise(NOISE), WeightNormalisedLinear(sizes[-1], classes, scaled=True))
        super().__init__(nn.Sequential(*layers), head)

    def logits(self, example: Tensor) -> Tensor:
        """(N, …) to (N, K)."""
        return self.head(self.body(example))

    def forward(self, example: Tensor) -> Tensor:
        """(N, …) to (N,) scores: log Z, so that sigmoid(log Z) = Z / (Z + 1)."""
        return self.logits(example).logsumexp(1)

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for examples (N, …), should they be real: (N, K)."""
        with evaluating(self):
            return self.logits(examples).log_softmax(1)


class NormalisedGenerator(nn.Module):
    """Latents (N, latent_dim) to examples of `shape`: two hidden layers of `width` units, batch-normalised softplus.

    Images end in tanh, so that they lie in [-1, 1], points are unbounded.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], *, width: int = 500):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, tuple(shape)
        layers: list[nn.Module] = []
        for before, after in ((latent_dim, width), (width, width)):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.Softplus()]
        squash = nn.Tanh() if len(self.shape) > 1 else nn.Identity()
        self.layers = nn.Sequential(*layers, nn.Linear(width, math.prod(self.shape)), squash)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, *shape)."""
        return self.layers(latent).unflatten(1, self.shape)
