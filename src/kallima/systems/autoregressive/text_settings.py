"""What every recipe of a language model can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass

from kallima.errors import UsageError


@dataclass(frozen=True)
class Layers:
    """The network that reads a text."""

    width: int = 256
    """Numbers of an embedding, and of each layer."""
    depth: int = 2
    """Layers."""
    dropout: float = 0.2
    """Share of what goes from layer to layer that is left out in training."""

    def __post_init__(self) -> None:
        if min(self.width, self.depth) < 1:
            raise UsageError("--width and --depth count from 1")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"--dropout is a share from 0 to below 1, not {self.dropout:g}")
