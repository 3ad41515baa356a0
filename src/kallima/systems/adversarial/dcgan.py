"""DCGAN (Radford et al. 2015): the non-saturating game with the convolutional pair that made it work on images."""

from kallima.data.spec import Image, Spec
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


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
    networks: Networks = Networks(generator="dcgan"),
    play: Play = Play(learning_rate=2e-4),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """The convolutional network pair that made adversarial training work on images, 8 to 256 pixels.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  −E log D(G(z))

    Batch size, learning rate and beta1 are the paper's (section 4); it draws latents uniformly and samples from the
    raw weights, this draws them from a normal distribution and samples from averaged weights.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)
