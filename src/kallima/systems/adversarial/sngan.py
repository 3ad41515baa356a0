"""SN-GAN (Miyato et al. 2018): hinge loss, residual generator, a spectrally normalised discriminator."""

from kallima.data.spec import Image, Spec
from kallima.objectives.adversarial import hinge
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "sngan",
    family="adversarial",
    paper="Miyato et al. 2018, arXiv:1802.05957",
    needs={"image": Image},
    steps=20_000,
    batch_size=64,
)
def sngan(
    spec: Spec,
    *,
    networks: Networks = Networks(generator="resnet", discriminator="plain", latent_dim=64),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """Spectral normalisation, hinge loss and a residual generator: the one to start with on images, 8 to 256 pixels.

        discriminator   minimises  E max(0, 1 − s(x)) + E max(0, 1 + s(G(z)))
        generator       minimises  −E s(G(z))

    Each weight of the discriminator is divided by its largest singular value, W / σ(W), where σ comes from one step
    of power iteration a training step (Eq. 8–9, Algorithm 1); so the discriminator is Lipschitz and stays useful to
    the generator however well it does. `--discriminator plain` is the paper's table 3, `resnet` its table 4: slower
    and stronger.

    The defaults are what gave the best letters in the least time on two cores, not the paper's (learning rate 2e-4,
    beta2 0.9, 5 steps of the discriminator, batch 64).
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=hinge, play=play, stabilisers=stabilisers)
