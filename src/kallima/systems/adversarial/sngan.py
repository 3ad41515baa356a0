"""SN-GAN (Miyato et al. 2018): hinge loss, residual generator, a spectrally normalised discriminator."""

from typing import Literal

from kallima.data.spec import Image, Spec
from kallima.networks.resnet import ResNetDiscriminator, ResNetGenerator
from kallima.networks.spectral import SpectralDiscriminator
from kallima.objectives.adversarial import hinge
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.play import Play


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
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
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
        play=play,
    )
