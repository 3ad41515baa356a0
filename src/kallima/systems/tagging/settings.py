"""What every classifier of several labels can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class Sight:
    """The network that looks at images."""

    backbone: Literal["small", "vgg", "resnet"] = "small"
    """Its kind: one strided convolution a level, two and a pooling, or two residual blocks."""
    width: int = 32
    """Channels at half the image's size (vgg: at its full size)."""
    hidden: int = 256
    """Units of the layer between features and labels."""
    dropout: float = 0.3
    """Share of the features that are left out at random while training."""

    def __post_init__(self) -> None:
        if min(self.width, self.hidden) < 1:
            raise UsageError("--width and --hidden count from 1")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"--dropout is a share from 0 to below 1, not {self.dropout:g}")
