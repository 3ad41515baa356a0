"""R3GAN (Huang et al. 2024): relativistic pairing with zero-centred penalties on both sides."""

from dataclasses import replace

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.relativistic import relativistic_paired
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "r3gan",
    family="adversarial",
    paper="Huang et al. 2024, arXiv:2501.05441",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def r3gan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99),
    stabilisers: Stabilisers = Stabilisers(r1=1.0, r2=1.0),
) -> GAN:
    """Relativistic pairing with R1 and R2: a loss that provably converges locally, and needs no further tricks.

        discriminator   minimises  −E log σ(s(x) − s(G(z))) + (γ/2) E‖∇s(x)‖² + (γ/2) E‖∇s(G(z))‖²
        generator       minimises  −E log σ(s(G(z)) − s(x))

    γ is --r1 and --r2. On images `auto` stands for the paper's own networks here, `r3`: residual and not normalised. A
    step of theirs takes three to five times as long as one of dcgan's: on MNIST 400 of them came further than 400 of
    dcgan's, yet less far than dcgan's in the same time. So where minutes have to do, `--generator dcgan`. γ = 0.1 was
    too little there: the discriminator won within 100 steps. The paper lowers γ to a tenth over the training, and the
    learning rate to a quarter; here both stay as they are.
    """
    if networks.generator == "auto" and "points" not in spec:
        networks = replace(networks, generator="r3")
    return GAN(
        spec, *pair(spec, networks, stabilisers), objective=relativistic_paired, play=play, stabilisers=stabilisers
    )
