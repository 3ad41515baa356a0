"""DRAGAN (Kodali et al. 2017): a gradient penalty around the data alone."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "dragan",
    family="adversarial",
    paper="Kodali et al. 2017, arXiv:1705.07215",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def dragan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(gradient_penalty=1.0, penalty_form="dragan"),
) -> GAN:
    """The original game, with the discriminator's gradient kept at norm one around real examples, against sharp peaks.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z))) + λ E(‖∇s(x + δ)‖₂ − 1)²
        generator       minimises  −E log D(G(z))

    δ is noise of the size of the data's spread; λ is `--gradient-penalty`, 10 in the paper, with which points in the
    plane were not learned here. Mode collapse goes with sharp gradients at
    real examples, says the paper, and this removes them.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)
