"""What every recipe of a two-player game can be told: its networks, its turns, and what keeps it stable.

A recipe that takes one of these stands for its fields; its own defaults are the instance in its signature. No torch
here: signatures are read without it.
"""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class Networks:
    """The pair of networks."""

    generator: Literal["auto", "mlp", "dcgan", "resnet", "r3"] = "auto"
    """The generator's body: dense, DCGAN's, residual, R3GAN's; auto is mlp for points, dcgan for images."""
    discriminator: Literal["auto", "mlp", "dcgan", "plain", "resnet", "r3"] = "auto"
    """The discriminator's body; auto goes with the generator; plain and resnet are spectrally normalised."""
    width: int | None = None
    """Units of a dense layer (by default 128 for points, 512 for images) or channels at half the image's size (64)."""
    depth: int = 3
    """Hidden layers of a dense network."""
    latent_dim: int | None = None
    """Dimensions of the latent z; by default 16 for points, 64 for dense networks and r3, 100 for others."""
    discriminator_norm: Literal["auto", "batch", "none"] = "auto"
    """Normalisation in a dcgan discriminator; auto is batch, unless a penalty needs each example judged alone."""


@dataclass(frozen=True)
class Play:
    """The players' optimisers, their turns, and the averaging that samples come from."""

    learning_rate: float = 2e-4
    """Step size of the generator."""
    discriminator_learning_rate: float | None = None
    """Step size of the discriminator (two time scales); by default the generator's."""
    optimizer: Literal["adam", "optimistic-adam", "rmsprop", "sgd"] = "adam"
    """How both players step; optimistic-adam expects the next gradient to be like the last, and wants --beta1 0."""
    beta1: float = 0.5
    """Adam's decay of the mean gradient."""
    beta2: float = 0.999
    """Adam's decay of the mean squared gradient."""
    discriminator_steps: int = 1
    """Steps of the discriminator before each turn of the generator."""
    generator_steps: int = 1
    """Steps of the generator in each of its turns."""
    simultaneous: bool = False
    """Take both gradients of a step before either player moves, instead of one after the other."""
    average: float = 0.999
    """Decay of the moving average of the generator's weights that samples come from; 0 for none."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rates change: constant, or cosine down to 0."""
    warm_up: float = 0.0
    """Share of the training over which the learning rates rise from 0."""
    clip: float | None = None
    """Bound on the L2 norm of each network's gradient."""

    def __post_init__(self) -> None:
        if min(self.discriminator_steps, self.generator_steps) < 1:
            raise UsageError("--discriminator-steps and --generator-steps count from 1")
        if self.simultaneous and (self.discriminator_steps, self.generator_steps) != (1, 1):
            raise UsageError("simultaneous players take one step each: leave out --simultaneous, or the steps")


@dataclass(frozen=True)
class Stabilisers:
    """Switches that keep a game stable, whatever its objective; conflicts are refused with the reason."""

    label_smoothing: float = 0.0
    """Ask the discriminator for 1 minus this on real examples only (Salimans et al. 2016)."""
    instance_noise: float = 0.0
    """Standard deviation of the noise on all that the discriminator sees (Sønderby et al. 2016)."""
    noise_until: float = 1.0
    """Share of the training by which the instance noise has fallen, in a straight line, to 0."""
    spectral_norm: bool = False
    """Divide each weight of the discriminator by its largest singular value (Miyato et al. 2018)."""
    gradient_penalty: float = 0.0
    """Weight of the penalty that pulls the norm of the critic's gradient towards 1 (Gulrajani et al. 2017)."""
    penalty_form: Literal["two-sided", "one-sided", "dragan"] = "two-sided"
    """Where and how it pulls: between real and fake, from both sides or from above only, or around real examples."""
    r1: float = 0.0
    """Weight γ of (γ/2) E‖∇s(x)‖² on real examples (Mescheder et al. 2018)."""
    r2: float = 0.0
    """Weight γ of (γ/2) E‖∇s(G(z))‖² on fakes (Mescheder et al. 2018)."""
    lazy: int = 1
    """Compute gradient penalties every this many steps, times as much (Karras et al. 2020)."""
    weight_clip: float | None = None
    """Bound on each weight of the critic, enforced after each of its steps (Arjovsky et al. 2017)."""
    historical_averaging: float = 0.0
    """Weight of the squared distance of each player's weights from their mean so far (Salimans et al. 2016)."""
    virtual_batch_norm: bool = False
    """Normalise each of the generator's examples with a fixed reference batch (Salimans et al. 2016)."""
    augment: Literal["none", "diffaugment", "ada"] = "none"
    """Augment all images that the discriminator sees: always (Zhao et al. 2020) or adaptively (Karras et al. 2020)."""
    consensus: float = 0.0
    """Weight of half the squared norm of both players' gradients, minimised by both (Mescheder et al. 2017)."""
    pack: int = 1
    """Examples that the discriminator judges together (Lin et al. 2018)."""
    minibatch_discrimination: int = 0
    """Kernels of minibatch discrimination, through which examples of a batch see one another (Salimans et al. 2016)."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"--label-smoothing is at least 0 and less than 1, not {self.label_smoothing:g}")
        if self.noise_until <= 0:
            raise UsageError("--noise-until is a share of the training, above 0")
        if self.pack < 1 or self.lazy < 1:
            raise UsageError("--pack and --lazy count from 1")

    @property
    def alone(self) -> bool:
        """Whether some term needs the gradient of each example's own score."""
        return bool(self.gradient_penalty or self.r1 or self.r2)
