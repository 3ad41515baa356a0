"""Boundary-seeking GAN (Hjelm et al. 2018), for continuous data."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import boundary_seeking
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "bgan",
    family="adversarial",
    paper="Hjelm et al. 2018, arXiv:1702.08431",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def boundary_seeking_gan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(r1=0.1),
) -> GAN:
    """The generator seeks the decision boundary, where the discriminator cannot tell, instead of its far side.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  ½ E(log D(G(z)) − log(1 − D(G(z))))² = ½ E s(G(z))²

    It stops at D = ½, where the importance weight p/p_G of a fake is 1. The square is steep where the discriminator is
    sure: by default a little R1 keeps it from that, without which points in the plane were learned badly.
    `bgan-discrete` is the form for binary images.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=boundary_seeking, play=play, stabilisers=stabilisers)
