"""Wasserstein GAN (Arjovsky et al. 2017): a critic whose weights are clipped."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import wasserstein
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "wgan",
    family="adversarial",
    paper="Arjovsky et al. 2017, arXiv:1701.07875",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def wgan(
    spec: Spec,
    *,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=5e-4, optimizer="rmsprop", discriminator_steps=5),
    stabilisers: Stabilisers = Stabilisers(weight_clip=0.1),
) -> GAN:
    """A critic with bounded weights estimates the Wasserstein distance, which has a slope where supports don't overlap.

        critic          minimises  −E s(x) + E s(G(z)),  each weight clipped to [−c, c] after each step
        generator       minimises  −E s(G(z))

    By Kantorovich and Rubinstein W(p, p_G) is the largest E s(x) − E s(G(z)) over all s of slope at most 1. Clipping
    bounds the slope by some K instead, so the loss is K W at best. RMSprop and five steps of the critic are those of
    Algorithm 1. `--weight-clip` is c: with too small a bound the gradients die on their way through the critic.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=wasserstein, play=play, stabilisers=stabilisers)
