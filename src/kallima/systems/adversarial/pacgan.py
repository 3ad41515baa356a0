"""PacGAN (Lin et al. 2018): the discriminator judges several examples at once."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "pacgan",
    family="adversarial",
    paper="Lin et al. 2018, arXiv:1712.04086",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def pacgan(
    spec: Spec,
    *,
    networks: Networks = Networks(generator="mlp"),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(pack=2),
) -> GAN:
    """The discriminator sees packs of examples, so that a lack of variety shows in each of them: against mode collapse.

        discriminator   minimises  −E log D(x₁, …, x_m) − E log(1 − D(G(z₁), …, G(z_m)))
        generator       minimises  −E log D(G(z₁), …, G(z_m))

    m is `--pack`; the batch size has to be a multiple of it. Only the first layer of the discriminator grows.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)
