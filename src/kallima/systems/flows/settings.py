"""What every recipe of a flow can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError

EVALUATIONS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
"""How often a step of each solver asks for the velocity."""


@dataclass(frozen=True)
class Velocity:
    """The network that says where everything is to go."""

    width: int | None = None
    """Units of a dense layer (by default 256, for points), or channels at half the image's size (32)."""
    depth: int | None = None
    """Hidden layers of a dense network (by default 4), or residual blocks at each size of an image, down and up (2)."""
    full_size: bool = False
    """Have blocks at the image's full size too, for about twice the work."""
    times: Literal["uniform", "logit-normal"] = "uniform"
    """How moments of training are drawn: all alike often, or those in the middle more (Esser et al. 2024)."""

    def __post_init__(self) -> None:
        if any(given is not None and given < 1 for given in (self.width, self.depth)):
            raise UsageError("--width and --depth count from 1")


@dataclass(frozen=True)
class Integration:
    """How the equation is solved where examples are made, and where they are traced back."""

    solver: Literal["euler", "midpoint", "heun", "rk4"] = "midpoint"
    """The method, of order 1, 2, 2 or 4."""
    evaluations: int = 16
    """How often the velocity is asked for on the way: as many steps as that comes to."""

    def __post_init__(self) -> None:
        cost = EVALUATIONS[self.solver]
        if self.evaluations < cost or self.evaluations % cost:
            nearest = max(1, round(self.evaluations / cost)) * cost
            raise UsageError(
                f"a step of {self.solver} takes {cost} evaluations, and {self.evaluations} are no whole steps: "
                f"give --evaluations {nearest}"
            )

    @property
    def steps(self) -> int:
        """The steps from one end to the other."""
        return self.evaluations // EVALUATIONS[self.solver]
