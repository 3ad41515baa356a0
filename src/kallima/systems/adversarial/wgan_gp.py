"""WGAN-GP (Gulrajani et al. 2017): a critic whose gradient is kept at norm one."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import wasserstein
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "wgan-gp",
    family="adversarial",
    paper="Gulrajani et al. 2017, arXiv:1704.00028",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def wgan_gp(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=5e-4, beta1=0.0, beta2=0.9, discriminator_steps=5),
    stabilisers: Stabilisers = Stabilisers(gradient_penalty=10.0),
) -> GAN:
    """The Wasserstein critic with a penalty on its gradient instead of clipped weights: slow, and seldom fails.

        critic          minimises  −E s(x) + E s(G(z)) + λ E(‖∇s(x̂)‖₂ − 1)²
        generator       minimises  −E s(G(z))

    x̂ = ε x + (1 − ε) G(z) with an ε ~ U(0, 1) for each example; the norm is over all of an example's dimensions; λ is
    `--gradient-penalty`: 10 for images, 1 or less for points (the authors' own toy examples have 0.1).
    `--penalty-form one-sided` penalises only norms above 1 (WGAN-LP, Petzka et al. 2018, arXiv:1709.08894). No batch
    normalisation in the critic: it would mix the examples' gradients.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=wasserstein, play=play, stabilisers=stabilisers)
