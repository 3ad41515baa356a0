"""What a sample of sound is to a model: one of 256 levels of a bent scale, or a number with 16 bits."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from kallima.decoding import Decoding
from kallima.errors import UsageError
from kallima.objectives.companding import LEVELS, compressed, expanded
from kallima.objectives.logistic_mixture import log_probability

LEAST_LOG_SCALE = -12.0  # a quarter of a level of 16 bits; silence asks for less and less


class Voice(nn.Module):
    """The levels of a sample, how the network hears them and what it says of them: `numbers` numbers a sample."""

    levels: int
    numbers: int
    note: str

    @abstractmethod
    def components(self, sounds: Tensor) -> Tensor:
        """Return the levels int64 of sounds in [-1, 1]."""

    @abstractmethod
    def sounds(self, components: Tensor) -> Tensor:
        """Return the sounds in [-1, 1] of levels."""

    @abstractmethod
    def forward(self, components: Tensor) -> Tensor:
        """Return what the network hears of levels (...): (..., width)."""

    @abstractmethod
    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of levels (...) by what is said of them (..., numbers), in nats."""

    @abstractmethod
    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw levels int64 (N,) by what is said (N, numbers)."""


class MuLaw(Voice):
    """256 levels of the μ-law, each with a probability of its own (§2.2 of the paper).

    A level is heard as a vector of its own, which begins as waves over all levels: so that neighbours begin as
    neighbours, which takes long to find out.
    """

    levels = numbers = LEVELS
    note = "exact, of the 256 μ-law levels of a sound's own samples"

    def __init__(self, width: int):
        super().__init__()
        waves = torch.arange(width) * (torch.arange(LEVELS)[:, None] + 0.5) * (math.pi / LEVELS)
        self.heard = nn.Embedding(LEVELS, width, _weight=waves.cos())

    def components(self, sounds: Tensor) -> Tensor:
        """Return the levels int64 of sounds in [-1, 1]."""
        return compressed(sounds)

    def sounds(self, components: Tensor) -> Tensor:
        """Return the sounds in [-1, 1] of levels."""
        return expanded(components)

    def forward(self, components: Tensor) -> Tensor:
        """Return what the network hears of levels (...): (..., width)."""
        return self.heard(components)

    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of levels (...) by their logits (..., 256), in nats."""
        flat = parameters.flatten(0, -2)
        return -nn.functional.cross_entropy(flat, components.flatten(), reduction="none").view_as(components)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw levels int64 (N,) by their logits (N, 256)."""
        return decoding.draw(parameters, rng)


class LogisticMixture(Voice):
    """65,536 levels, their probabilities those that a mixture of `mixtures` logistics leaves to each.

    Salimans et al. 2017, arXiv:1701.05517; for sounds van den Oord et al. 2018, arXiv:1711.10433. The levels at both
    ends take all that lies beyond them, so that all sum to one.
    """

    levels = 1 << 16
    note = "exact, of the 65,536 levels of a sound's own samples"

    def __init__(self, width: int, mixtures: int):
        super().__init__()
        self.numbers = 3 * mixtures
        self.heard = nn.Linear(1, width)

    def components(self, sounds: Tensor) -> Tensor:
        """Return the levels int64 of sounds in [-1, 1]."""
        return (sounds * (self.levels // 2)).round().long().add(self.levels // 2).clamp(0, self.levels - 1)

    def sounds(self, components: Tensor) -> Tensor:
        """Return the sounds in [-1, 1] of levels."""
        return (components - self.levels // 2).float() / (self.levels // 2)

    def forward(self, components: Tensor) -> Tensor:
        """Return what the network hears of levels (...): (..., width)."""
        return self.heard(self._values(components, self.heard.weight.dtype)[..., None])

    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of levels (...) under their mixtures (..., 3 M), in nats."""
        mixture = torch.cat(self._mixture(parameters.to(torch.promote_types(parameters.dtype, torch.float32))), -1)
        return log_probability(mixture, self._values(components, mixture.dtype), self.levels)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw levels int64 (N,) of mixtures (N, 3 M): first one of the logistics, then a value of it.

        Raises:
            UsageError: only some levels are to be drawn, of which there are too many to look at.
        """
        if decoding.top_k is not None or decoding.top_p is not None:
            raise UsageError(f"a mixture over {self.levels:,} levels is drawn with --temperature alone")
        log_weights, means, log_scales = self._mixture(parameters)
        chosen = decoding.draw(log_weights, rng)[:, None]
        mean, scale = means.gather(1, chosen)[:, 0], log_scales.gather(1, chosen)[:, 0].exp()
        uniform = torch.rand(len(mean), generator=rng).clamp_(1e-5, 1 - 1e-5).to(mean)
        value = mean + decoding.temperature * scale * uniform.logit()
        return ((value + 1) / 2 * (self.levels - 1)).round().long().clamp(0, self.levels - 1)

    def _mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, log_scales = parameters.chunk(3, -1)
        return weights.log_softmax(-1), means, log_scales.clamp_min(LEAST_LOG_SCALE)

    def _values(self, components: Tensor, dtype: torch.dtype) -> Tensor:
        """Return where levels lie among all, from -1 to 1."""
        return components.to(dtype) / (self.levels - 1) * 2 - 1
