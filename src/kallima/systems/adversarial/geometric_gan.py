"""Geometric GAN (Lim & Ye 2017): the hinge loss, with any networks."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import hinge
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "geometric-gan",
    family="adversarial",
    paper="Lim & Ye 2017, arXiv:1705.02894",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def geometric_gan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """The hinge loss: the discriminator is a soft-margin classifier, the generator walks across its hyperplane.

        discriminator   minimises  E max(0, 1 − s(x)) + E max(0, 1 + s(G(z)))
        generator       minimises  −E s(G(z))

    Only examples within the margin move the discriminator. `sngan` is this objective with the networks for images.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=hinge, play=play, stabilisers=stabilisers)
