"""How a game of two players is played: what every recipe of such a game can be told, whatever its networks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Play:
    """Adam for both players (Kingma & Ba 2015), their turns, and the averaging that samples come from.

    A recipe that takes one stands for its fields; its own defaults are the instance in its signature. No torch here:
    signatures are read without it.
    """

    learning_rate: float = 2e-4
    """Adam's step size, of the generator."""
    discriminator_learning_rate: float | None = None
    """Adam's step size, of the discriminator; by default the generator's."""
    beta1: float = 0.5
    """Adam's decay of the mean gradient."""
    beta2: float = 0.999
    """Adam's decay of the mean squared gradient."""
    discriminator_steps: int = 1
    """Steps of the discriminator before each step of the generator."""
    average: float = 0.999
    """Decay of the moving average of the generator's weights that samples come from; 0 for none."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rates change: constant, or cosine down to 0."""
    warm_up: float = 0.0
    """Share of the training over which the learning rates rise from 0."""
    clip: float | None = None
    """Bound on the L2 norm of each network's gradient."""
