"""What every recipe of an autoencoder can be told. No torch here: signatures are read without it."""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class Coders:
    """The encoder and its mirror image, the decoder."""

    network: Literal["auto", "dense", "convolutional"] = "auto"
    """Their kind; auto is dense for images of up to 32×32 grey pixels, convolutional for larger ones and for colour."""
    width: int | None = None
    """Units of a dense layer (by default 512) or channels at half the image's size (32)."""
    depth: int = 2
    """Hidden layers of a dense network."""
    activation: Literal["relu", "tanh"] = "relu"
    """What follows each hidden layer of a dense network."""
    latent_dim: int = 64
    """Numbers of a code."""


@dataclass(frozen=True)
class Charge:
    """What a code costs."""

    beta: float = 1.0
    """Weight of the divergence of the codes from the prior; 1 is the bound itself."""
    warm_up: float = 0.0
    """Share of the training over which that weight rises from 0."""
    free_bits: float = 0.0
    """Nats that each dimension of the code has for nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up <= 1 or min(self.beta, self.free_bits) < 0:
            raise UsageError(
                "--warm-up is a share of the training from 0 to 1; --beta and --free-bits are not negative"
            )


@dataclass(frozen=True)
class Pixels:
    """What the decoder says of pixels."""

    likelihood: Literal["bernoulli", "gaussian", "fixed-gaussian", "logistic"] = "bernoulli"
    """Black or white by chance, a mean and a deviation, a mean alone, or a chance for each of 256 levels."""
    deviation: float = 0.1
    """The standard deviation of fixed-gaussian, where pixels go from -1 to 1."""

    def __post_init__(self) -> None:
        if self.deviation <= 0:
            raise UsageError(f"--deviation is above 0, not {self.deviation:g}")


@dataclass(frozen=True)
class Stack:
    """A deep dense autoencoder, given by its encoder; the decoder is its mirror image."""

    units: tuple[int, ...] = (1000, 500, 250)
    """Units of each hidden layer, from the image on."""
    latent_dim: int = 30
    """Numbers of a code."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """What follows each hidden layer."""
    tied: bool = False
    """Give the decoder the encoder's matrices, transposed."""
    pretraining: float = 0.0
    """Share of the training in which the layers learn one after another."""
    error: Literal["squared", "cross-entropy"] = "squared"
    """How images are compared."""

    def __post_init__(self) -> None:
        if not 0 <= self.pretraining < 1:
            raise UsageError(f"--pretraining is a share of the training from 0 to below 1, not {self.pretraining:g}")
        if min((*self.units, self.latent_dim)) < 1:
            raise UsageError("--units and --latent-dim count from 1")
