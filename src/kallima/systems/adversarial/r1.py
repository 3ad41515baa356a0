"""R1 (Mescheder et al. 2018): which training of GANs does converge."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "gan-r1",
    family="adversarial",
    paper="Mescheder et al. 2018, arXiv:1801.04406",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gan_r1(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(r1=1.0),
) -> GAN:
    """The original game with a zero-centred gradient penalty on real examples, with which it converges locally.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z))) + (γ/2) E‖∇s(x)‖²
        generator       minimises  −E log D(G(z))

    γ is `--r1`; `--r2` adds the same on fakes. `--lazy 16` computes it every 16 steps only.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)
