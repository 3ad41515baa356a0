"""SN-GAN (Miyato et al. 2018): hinge loss, residual generator, a spectrally normalised discriminator."""

from typing import Literal

from kallima import schedules
from kallima.data.spec import Image, Spec
from kallima.networks.resnet import ResNetDiscriminator, ResNetGenerator
from kallima.networks.spectral import SpectralDiscriminator
from kallima.objectives.adversarial import hinge
from kallima.recipe import recipe
from kallima.system import adam
from kallima.systems.adversarial.gan import GAN


@recipe(
    "sngan",
    family="adversarial",
    paper="Miyato et al. 2018, arXiv:1802.05957",
    needs={"image": Image},
    steps=20_000,
    batch_size=64,
)
def sngan(
    spec: Spec,
    *,
    width: int = 64,
    latent_dim: int = 64,
    discriminator: Literal["plain", "residual"] = "plain",
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float | None = None,
    beta1: float = 0.0,
    beta2: float = 0.99,
    discriminator_steps: int = 1,
    average: float = 0.999,
    schedule: Literal["constant", "cosine"] = "cosine",
    warm_up: float = 0.0,
    clip: float | None = None,
) -> GAN:
    """Spectral normalisation, hinge loss and a residual generator: the one to start with on images, 8 to 256 pixels.

    Each weight of the discriminator is divided by its largest singular value, W / σ(W), where σ comes from one step
    of power iteration a training step (Eq. 8–9, Algorithm 1); so the discriminator is Lipschitz and stays useful to
    the generator however well it does.

    The defaults are what gave the best letters in the least time on two cores, not the paper's (learning rate 2e-4,
    beta2 0.9, 5 steps of the discriminator, batch 64).

    Args:
        width: channels at half the image's size; they double with each halving, up to 4 times this
        latent_dim: dimensions of the latent z
        discriminator: plain (strided convolutions, the paper's table 3) or residual (table 4: slower and stronger)
        learning_rate: Adam's step size, of the generator
        discriminator_learning_rate: Adam's step size, of the discriminator; by default the generator's
        beta1: Adam's decay of the mean gradient; much above 0 hurts here
        beta2: Adam's decay of the mean squared gradient
        discriminator_steps: steps of the discriminator before each step of the generator
        average: decay of the moving average of the generator's weights that samples come from; 0 for none
        schedule: how the learning rates change: constant, or cosine down to 0
        warm_up: share of the training over which the learning rates rise from 0
        clip: bound on the L2 norm of each network's gradient
    """
    image = spec["image"]
    assert isinstance(image, Image)
    judge = {"plain": SpectralDiscriminator, "residual": ResNetDiscriminator}[discriminator]
    return GAN(
        spec,
        ResNetGenerator(latent_dim, image, width=width),
        judge(image, width=width),
        objective=hinge,
        latent_dim=latent_dim,
        generator_optimizer=adam(learning_rate, betas=(beta1, beta2)),
        discriminator_optimizer=adam(discriminator_learning_rate or learning_rate, betas=(beta1, beta2)),
        discriminator_steps=discriminator_steps,
        schedule=schedules.by_name(schedule, warm_up),
        clip=clip,
        average=average,
    )
