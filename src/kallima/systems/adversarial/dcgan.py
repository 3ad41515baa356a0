"""DCGAN (Radford et al. 2015): the non-saturating game with the convolutional pair that made it work on images."""

from kallima.data.spec import Image, Spec
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.play import Play


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
    play: Play = Play(learning_rate=2e-4),
) -> GAN:
    """The convolutional network pair that made adversarial training work on images, 8 to 256 pixels.

    Batch size, learning rate and beta1 are the paper's (section 4); it draws latents uniformly and samples from the
    raw weights, this draws them from a normal distribution and samples from averaged weights.

    Args:
        width: channels at half the image's size; they double with each halving, up to 8 times this
        latent_dim: dimensions of the latent z
    """
    image = spec["image"]
    assert isinstance(image, Image)
    return GAN(
        spec,
        DCGANGenerator(latent_dim, image, width=width),
        DCGANDiscriminator(image, width=width),
        objective=non_saturating,
        latent_dim=latent_dim,
        play=play,
    )
