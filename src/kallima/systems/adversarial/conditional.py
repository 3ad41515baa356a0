"""Conditional games: the condition beside the example (Mirza & Osindero 2014), or projected on its features."""

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Image, Label, Points, Spec, Values
from kallima.objectives.adversarial import hinge, non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import conditional_pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "cgan",
    family="adversarial",
    paper="Mirza & Osindero 2014, arXiv:1411.1784",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
        {"points": Points, "label": Label},
    ),
    steps=6_000,
    batch_size=64,
)
def cgan(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    networks: Networks = Networks(width=32, latent_dim=64),
    play: Play = Play(learning_rate=5e-4, discriminator_learning_rate=2e-4, schedule="cosine"),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """A conditional game: both players are told the label, attributes, values or domain of what they make or see.

        discriminator   minimises  −E log D(x | c) − E log(1 − D(G(z, c) | c))
        generator       minimises  −E log D(G(z, c) | c),     c as in the data

    The generator takes c after z, and its batch normalisation is scaled and shifted by c (Dumoulin et al. 2017); the
    discriminator sees c as further planes of the image. The paper's networks are dense (`--generator mlp`); those of
    DCGAN are the default on images.

    Args:
        condition_on: which of label, attributes, values and domain to condition on; by default all that the data has.
    """
    conditions = Conditions(spec, condition_on)
    pair = conditional_pair(spec, networks, stabilisers, conditions, projection=False)
    return GAN(spec, *pair, objective=non_saturating, play=play, stabilisers=stabilisers, conditions=conditions)


@recipe(
    "projection-gan",
    family="adversarial",
    paper="Miyato & Koyama 2018, arXiv:1802.05637",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
    ),
    steps=4_000,
    batch_size=64,
)
def projection_gan(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    networks: Networks = Networks(generator="resnet", discriminator="plain", width=32, latent_dim=64),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """A conditional game whose discriminator projects the condition on its features: `sngan`, told what to make.

        s(x, c) = ⟨V c, φ(x)⟩ + w · φ(x)                         (Eq. 3; for a label, V c is a vector a class)
        discriminator   minimises  E max(0, 1 − s(x, c)) + E max(0, 1 + s(G(z, c), c))
        generator       minimises  −E s(G(z, c), c),     c as in the data

    The inner product is what the log ratio log q(c|x)/p(c|x) of two log-linear models comes to. Attributes and values
    are projected linearly too. The generator's batch normalisation is scaled and shifted by c. Networks and settings
    are those of `sngan`, with half the channels and a fifth of the steps.

    Args:
        condition_on: which of label, attributes, values and domain to condition on; by default all that the data has.
    """
    conditions = Conditions(spec, condition_on)
    pair = conditional_pair(spec, networks, stabilisers, conditions, projection=True)
    return GAN(spec, *pair, objective=hinge, play=play, stabilisers=stabilisers, conditions=conditions)
