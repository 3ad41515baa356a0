"""Loss-sensitive GAN (Qi 2017): a margin that grows with the distance between real and fake."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.margins import loss_sensitive
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "loss-sensitive",
    family="adversarial",
    paper="Qi 2017, arXiv:1701.06264",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def loss_sensitive_gan(
    spec: Spec,
    *,
    weight: float = 5.0,
    scale: float = 0.2,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(r1=0.1),
) -> GAN:
    """Fakes must score lower than real examples by as much as they differ; those near enough are left in peace.

        discriminator   minimises  E L(x) + λ E[Δ(x, G(z)) + L(x) − L(G(z))]₊,  L = log(1 + e^−s)
        generator       minimises  E L(G(z))

    LS-GAN, which is not LSGAN. Δ is the mean absolute difference of a pair times `scale`. The theory wants L Lipschitz
    and bounded from below; here R1 and the softplus see to that.

    Args:
        weight: λ, of the margins
        scale: of the distance Δ
    """
    return GAN(
        spec,
        *pair(spec, networks, stabilisers),
        objective=loss_sensitive(weight, scale),
        play=play,
        stabilisers=stabilisers,
    )
