"""DCGAN (Radford et al. 2015): the non-saturating game with the convolutional pair that made it work on images."""

from typing import Literal

from kallima import schedules
from kallima.data.spec import Image, Spec
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import adam
from kallima.systems.adversarial.gan import GAN


@recipe(
    "dcgan",
    family="adversarial",
    paper="Radford et al. 2015, arXiv:1511.06434",
    needs={"image": Image},
    steps=20_000,
    batch_size=128,
)
def dcgan(
    spec: Spec,
    *,
    width: int = 64,
    latent_dim: int = 100,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float | None = None,
    beta1: float = 0.5,
    discriminator_steps: int = 1,
    average: float = 0.999,
    schedule: Literal["constant", "cosine"] = "constant",
    warm_up: float = 0.0,
    clip: float | None = None,
) -> GAN:
    """The convolutional network pair that made adversarial training work on images, 8 to 256 pixels.

    Batch size, learning rate and beta1 are the paper's (section 4); it draws latents uniformly and samples from the
    raw weights, this draws them from a normal distribution and samples from averaged weights.

    Args:
        width: channels at half the image's size; they double with each halving, up to 8 times this
        latent_dim: dimensions of the latent z
        learning_rate: Adam's step size, of the generator
        discriminator_learning_rate: Adam's step size, of the discriminator; by default the generator's
        beta1: Adam's decay of the mean gradient
        discriminator_steps: steps of the discriminator before each step of the generator
        average: decay of the moving average of the generator's weights that samples come from; 0 for none
        schedule: how the learning rates change: constant, or cosine down to 0
        warm_up: share of the training over which the learning rates rise from 0
        clip: bound on the L2 norm of each network's gradient
    """
    image = spec["image"]
    assert isinstance(image, Image)
    return GAN(
        spec,
        DCGANGenerator(latent_dim, image, width=width),
        DCGANDiscriminator(image, width=width),
        objective=non_saturating,
        latent_dim=latent_dim,
        generator_optimizer=adam(learning_rate, betas=(beta1, 0.999)),
        discriminator_optimizer=adam(discriminator_learning_rate or learning_rate, betas=(beta1, 0.999)),
        discriminator_steps=discriminator_steps,
        schedule=schedules.by_name(schedule, warm_up),
        clip=clip,
        average=average,
    )
