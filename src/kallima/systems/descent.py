"""How a single player goes down its loss. No torch above: signatures are read without it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

    from kallima.system import Player


@dataclass(frozen=True)
class Descent:
    """How the networks are trained."""

    learning_rate: float = 1e-3
    """Adam's step size."""
    beta1: float = 0.9
    """Adam's decay of the mean gradient."""
    beta2: float = 0.999
    """Adam's decay of the mean squared gradient."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate changes: constant, or cosine down to 0."""
    clip: float | None = None
    """Bound on the L2 norm of the gradient."""
    average: float = 0.0
    """Decay of the moving average of the weights that the result has; 0 for none."""


def player(name: str, *modules: "nn.Module", descent: Descent) -> "Player":
    """Make the player that moves these modules as `descent` says."""
    from kallima import schedules
    from kallima.optimizers import adam
    from kallima.system import Player

    return Player(
        name,
        *modules,
        optimizer=adam(descent.learning_rate, betas=(descent.beta1, descent.beta2)),
        schedule=schedules.by_name(descent.schedule, 0.0),
        clip=descent.clip,
        average=descent.average,
    )
