"""Relativistic GANs (Jolicoeur-Martineau 2018): more real than the other, not real by itself."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.relativistic import relativistic_average, relativistic_paired
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "relativistic",
    family="adversarial",
    paper="Jolicoeur-Martineau 2018, arXiv:1807.00734",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def relativistic(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """Is this real example more real than this fake? Scores count only as differences within pairs (RpGAN).

        discriminator   minimises  −E log σ(s(x) − s(G(z)))
        generator       minimises  −E log σ(s(G(z)) − s(x))

    The generator also lowers the score of real examples relative to its own, so that it never learns from fakes alone.
    """
    return GAN(
        spec, *pair(spec, networks, stabilisers), objective=relativistic_paired, play=play, stabilisers=stabilisers
    )


@recipe(
    "relativistic-average",
    family="adversarial",
    paper="Jolicoeur-Martineau 2018, arXiv:1807.00734",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def relativistic_average_gan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """Is this example more real than the average one of the other kind? (RaGAN)

    discriminator   minimises  −E log σ(s(x) − E s(G(z))) − E log(1 − σ(s(G(z)) − E s(x)))
    generator       minimises  the same with real and fake exchanged
    """
    return GAN(
        spec, *pair(spec, networks, stabilisers), objective=relativistic_average, play=play, stabilisers=stabilisers
    )
