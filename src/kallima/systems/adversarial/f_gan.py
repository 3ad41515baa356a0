"""f-GAN (Nowozin et al. 2016): the variational bound of any f-divergence, as a game."""

from typing import Literal

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.divergences import DIVERGENCES, f_gan
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "f-gan",
    family="adversarial",
    paper="Nowozin et al. 2016, arXiv:1606.00709",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def f_gan_recipe(
    spec: Spec,
    *,
    divergence: Literal[
        "kl",
        "reverse-kl",
        "pearson",
        "neyman",
        "squared-hellinger",
        "jeffrey",
        "jensen-shannon",
        "gan",
        "total-variation",
    ] = "jensen-shannon",
    minimax: bool = False,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """Minimise any f-divergence between the data and the generator, through its variational bound.

        discriminator   minimises  −E T(x) + E f*(T(G(z))),  T = g_f(s)
        generator       minimises  −E f*(T(G(z))),  or −E T(G(z)) with --no-minimax (section 3.2)

    f* is the conjugate of the divergence's f, and g_f maps any score into its domain (tables 2 and 6). The
    discriminator's loss is never below −D_f(p‖p_G), so its negative is a lower bound of the divergence. KL covers all
    of the data's modes, reverse KL would rather pick some; the bounds of KL and Pearson explode most easily.

    Args:
        divergence: which f-divergence
        minimax: the bound itself for both players, instead of the generator's stronger gradient
    """
    return GAN(
        spec,
        *pair(spec, networks, stabilisers),
        objective=f_gan(DIVERGENCES[divergence], minimax=minimax),
        play=play,
        stabilisers=stabilisers,
    )
