"""What every recipe of a model of sounds can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class Waves:
    """The network, what it says of a sample, and how much of a sound a step is about."""

    output: Literal["mu-law", "mixture"] = "mu-law"
    """A probability for each of 256 levels of the μ-law, or a mixture of logistics over all levels of 16 bits."""
    mixtures: int = 10
    """Logistics in that mixture."""
    depth: int = 10
    """Layers of a stack; their dilations are 1, 2, 4, and so on: ten see 1,024 samples back."""
    stacks: int = 1
    """How often these layers are repeated, each time with as much reach again."""
    width: int = 64
    """Channels between the layers."""
    said: int = 128
    """Channels of what the layers say together."""
    window: int = 2048
    """Samples of each sound that a step is about, at a random place; more than it has is all of it."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 20:
            raise UsageError(f"--depth is from 1 to 20, not {self.depth}")
        if min(self.mixtures, self.stacks, self.width, self.said, self.window) < 1:
            raise UsageError("--mixtures, --stacks, --width, --said and --window count from 1")

    @property
    def dilations(self) -> list[int]:
        """How far back each layer looks."""
        return [2**place for place in range(self.depth)] * self.stacks
