"""LSGAN (Mao et al. 2017): least squares in the place of cross-entropy."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import least_squares_game
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "lsgan",
    family="adversarial",
    paper="Mao et al. 2017, arXiv:1611.04076",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def lsgan(
    spec: Spec,
    *,
    fake_label: float = 0.0,
    real_label: float = 1.0,
    wanted_label: float = 1.0,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """Least squares between scores and labels, so that fakes far on the right side are still pulled back.

        discriminator   minimises  ½ E(s(x) − b)² + ½ E(s(G(z)) − a)²
        generator       minimises  ½ E(s(G(z)) − c)²

    The best discriminator is (b p + a p_G) / (p + p_G). With b − c = 1 and b − a = 2 the generator minimises Pearson's
    χ² between p + p_G and 2 p_G; the paper's other choice, a = 0 and b = c = 1, is the default.

    Args:
        fake_label: a, what the discriminator is asked for on fakes
        real_label: b, what the discriminator is asked for on real examples
        wanted_label: c, what the generator wants its fakes to score
    """
    return GAN(
        spec,
        *pair(spec, networks, stabilisers),
        objective=least_squares_game(fake_label, real_label, wanted_label),
        play=play,
        stabilisers=stabilisers,
    )
