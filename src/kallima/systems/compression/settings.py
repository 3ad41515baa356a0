"""What every recipe of an image codec can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass

from kallima.errors import UsageError


@dataclass(frozen=True)
class Transforms:
    """The networks between an image and its latents."""

    width: int = 64
    """Channels of the hidden layers, N in the papers."""
    latent_dim: int = 96
    """Channels of the latents, M in the papers."""
    levels: int | None = None
    """How often the image is halved; by default 3 times if it is trained on less than 64 pixels, else 4."""

    def __post_init__(self) -> None:
        if min(self.width, self.latent_dim) < 1:
            raise UsageError("--width and --latent-dim count from 1")
        if self.levels is not None and not 1 <= self.levels <= 6:
            raise UsageError(f"--levels lies from 1 to 6, not {self.levels}")
