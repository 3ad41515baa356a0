"""Distributions of pixels given what a decoder says: log-probabilities in nats, summed over an image's values.

Images are in [-1, 1], as everywhere; a decoder gives `numbers` parameters a value, as channels (N, numbers · C, H, W),
the first C the location.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 256
LEAST_LOG_DEVIATION = -6.0  # below it a density over a constant pixel grows without bound
LEAST_LOG_SCALE = -7.0


class Likelihood(ABC):
    """p(x | parameters): what a decoder's output means."""

    numbers: ClassVar[int]
    note: ClassVar[str]
    """What its nats are of, and so with what they compare."""

    def target(self, images: Tensor) -> Tensor:
        """Return what is modelled of images (N, C, H, W) in [-1, 1]; it may be drawn anew each time."""
        return images

    @abstractmethod
    def log_probability(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | parameters) in nats: (N, numbers · C, H, W) and (N, C, H, W) to (N,)."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """Return E[x | parameters], (N, C, H, W) in [-1, 1]."""


class Bernoulli(Likelihood):
    """Pixels black or white, drawn by their brightness each time they are seen (dynamic binarisation).

    Parameters are logits l: log p = x log σ(l) + (1 − x) log(1 − σ(l)) for x in {0, 1}.
    """

    numbers = 1
    note = "of pixels drawn black or white by their brightness (dynamic binarisation)"

    def target(self, images: Tensor) -> Tensor:
        """Draw black (-1) or white (1) for each pixel, white with a chance of (v + 1)/2."""
        return 2 * (torch.rand_like(images) < 0.5 * (images + 1)).to(images.dtype) - 1

    def log_probability(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | parameters) in nats, (N,)."""
        each = F.binary_cross_entropy_with_logits(parameters, 0.5 * (target + 1), reduction="none")
        return -each.flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return 2σ(l) − 1."""
        return 2 * torch.sigmoid(parameters) - 1


class FixedGaussian(Likelihood):
    """Pixels of one standard deviation σ about a mean: log p = −(x − μ)²/2σ² − log σ√2π, a density."""

    numbers = 1
    note = "densities of pixels in [-1, 1]: they compare with none of another likelihood"

    def __init__(self, deviation: float):
        self.deviation = deviation

    def log_probability(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | parameters) in nats, (N,)."""
        distance = ((target - parameters) / self.deviation).square()
        return (-0.5 * distance - math.log(self.deviation * math.sqrt(2 * math.pi))).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return μ, within [-1, 1]."""
        return parameters.clamp(-1, 1)


class Gaussian(Likelihood):
    """Pixels whose mean and logarithm of the standard deviation the decoder gives: a density."""

    numbers = 2
    note = "densities of pixels in [-1, 1]: they compare with none of another likelihood"

    def log_probability(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | parameters) in nats, (N,)."""
        mean, log_deviation = _halves(parameters)
        log_deviation = log_deviation.clamp_min(LEAST_LOG_DEVIATION)
        distance = ((target - mean) * torch.exp(-log_deviation)).square()
        return (-0.5 * distance - log_deviation - 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return μ, within [-1, 1]."""
        return _halves(parameters)[0].clamp(-1, 1)


class DiscretisedLogistic(Likelihood):
    """The probability that a logistic distribution leaves to each of 256 levels (Kingma et al. 2016, arXiv:1606.04934).

    Level k lies at x = 2k/255 − 1 and takes σ((x + 1/255 − μ)/s) − σ((x − 1/255 − μ)/s); the tails are open, so that
    the levels at both ends take all that lies beyond, and all levels sum to one.
    """

    numbers = 2
    note = "of the 256 levels of each pixel"

    def log_probability(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | parameters) in nats, (N,)."""
        mean, log_scale = _halves(parameters)
        return logistic_bins(mean, log_scale.clamp_min(LEAST_LOG_SCALE), target).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return μ, within [-1, 1]."""
        return _halves(parameters)[0].clamp(-1, 1)


def logistic_bins(mean: Tensor, log_scale: Tensor, target: Tensor, levels: int = LEVELS) -> Tensor:
    """Return the log-probability of the level of each value under its logistic; all of one shape, target in [-1, 1]."""
    half = 1 / (levels - 1)
    sharpness = torch.exp(-log_scale)
    upper, lower = (target + half - mean) * sharpness, (target - half - mean) * sharpness
    # σ(u) − σ(l) = σ(u) σ(−l) (1 − e^(l − u)): a product has no cancellation, however far out the level lies
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    edge = 1 - half
    return torch.where(target < -edge, F.logsigmoid(upper), torch.where(target > edge, F.logsigmoid(-lower), inside))


def _halves(parameters: Tensor) -> tuple[Tensor, Tensor]:
    location, spread = parameters.chunk(2, 1)
    return location, spread
