"""BiGAN (Donahue et al. 2017) and ALI (Dumoulin et al. 2017): an encoder learned in the game, from pairs alone."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.spectral import spectrally_normalised
from kallima.networks.encoder import GaussianEncoder, PointEncoder
from kallima.networks.joint import JointDiscriminator
from kallima.objectives.joint import joint_discriminator, joint_inference
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.encoding import EncodingGame
from kallima.systems.adversarial.pair import build_discriminator, build_encoder, build_generator
from kallima.systems.adversarial.settings import Networks, Play

MOST_UNITS = 512


class BiGAN(EncodingGame):
    """A discriminator of pairs: an example with the code found for it, or a latent with the example made of it.

    Donahue et al. 2017, "Adversarial feature learning", arXiv:1605.09782; with an encoder that draws its codes:
    Dumoulin et al. 2017, "Adversarially learned inference", arXiv:1606.00704.

        min_{G,E} max_D V,   V = E_x [log D(x, E(x))] + E_z [log(1 − D(G(z), z))]                (Eq. 3)

        discriminator            minimises  −E log D(x, E(x)) − E log(1 − D(G(z), z))
        encoder and generator    minimise   −E log(1 − D(x, E(x))) − E log D(G(z), z)

    Symbols: x an example, z ~ N(0, I) a latent, G the generator, E the encoder, which is one player with it; ALI's
    draws E(x) from N(μ(x), diag σ²(x)). Nothing is ever rebuilt in training. But the joint distributions of the two
    kinds of pairs can only be one where E inverts G almost everywhere (theorem 2), and then V = −log 4, at its least.
    For ALI, p(z | x) of the generator is what q(z | x) of the encoder comes to.

    Both sides have their labels swapped for the encoder and the generator (section 3.4), so that neither is left
    without a gradient where the discriminator is sure.

    What to watch: the discriminator's two terms sum to log 4 = 1.386 where it cannot tell the pairs apart; near 0 the
    pairs lie too far apart to learn from. Reconstructions G(E(x)) come to keep what the pairs had to agree on, first
    the kind, last the strokes; samples look like the data long before that.

    Where we deviate: latents are normal, the paper's for digits uniform. The networks are convolutions (`--generator
    mlp` for the paper's dense ones on digits) with 16 latents, the paper's for digits 50, and the discriminator is
    spectrally normalised, its scores multiplied by `--sharpness`, sees example and code through a body each, and has
    neither the batch normalisation of BiGAN nor the dropout and maxout of ALI. ALI's generator is deterministic. What
    is encoded is described by the mean μ(x).
    """

    discriminator: JointDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        encoder: PointEncoder | GaussianEncoder,
        discriminator: JointDiscriminator,
        *,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.encoder = encoder

    def game(self) -> list[Phase]:
        """The discriminator's steps, then those of generator and encoder, who are one player."""
        play = self.play
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        generator = self.player("generator", self.generator, self.encoder, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell pairs of examples and their codes from pairs of forged examples and their latents."""
        with torch.no_grad():
            pairs = self.pairs(batch)
        return joint_discriminator(*self.scores(*pairs))

    def generator_loss(self, batch: Batch) -> Terms:
        """Have each kind of pair taken for the other."""
        return joint_inference(*self.scores(*self.pairs(batch)))

    def pairs(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (x, E(x)) of the batch, and as many (G(z), z)."""
        examples, latents = batch[self.field], self.prior.draw(len(batch), self.device)
        return (examples, self.encoder.draw(examples)), (self.generator(latents), latents)

    def scores(self, encoded: tuple[Tensor, Tensor], generated: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the discriminator's scores (N,) of both kinds, each kind in a batch of its own."""
        return self.discriminator(*encoded), self.discriminator(*generated)


def joint_networks(
    spec: Spec, networks: Networks, outputs: int, sharpness: float
) -> tuple[nn.Module, nn.Module, JointDiscriminator]:
    """Build the generator, the body of an encoder with `outputs` times as many outputs as latents, the discriminator.

    The encoder's body goes with the generator's; `networks.discriminator` is that of the discriminator alone, which is
    spectrally normalised: without it the two kinds of pairs, which lie apart until E inverts G, are told at a glance.
    But normalised alone it hardly sees whether a code is the right one, so its scores are multiplied by `sharpness`.

    Raises:
        UsageError: `sharpness` is not above 0.
    """
    if not sharpness > 0:
        raise UsageError(f"--sharpness must be above 0, not {sharpness:g}")
    generator = build_generator(spec, networks)
    latent_dim = int(generator.latent_dim)  # type: ignore[arg-type]
    encoder = build_encoder(spec, replace(networks, discriminator="auto"), outputs * latent_dim)
    alone = build_discriminator(spec, networks)
    assert isinstance(alone.head, nn.Linear)
    units = min(alone.head.in_features, MOST_UNITS)
    joint = JointDiscriminator(alone, latent_dim, units=units, sharpness=sharpness)
    return generator, encoder, spectrally_normalised(joint)


@recipe(
    "bigan",
    family="adversarial",
    paper="Donahue et al. 2017, arXiv:1605.09782",
    needs={"image": Image},
    steps=6_000,
    batch_size=64,
)
def bigan(
    spec: Spec,
    *,
    sharpness: float = 8.0,
    networks: Networks = Networks(discriminator="plain", width=16, latent_dim=16),
    play: Play = Play(learning_rate=5e-4),
) -> BiGAN:
    """A game over pairs in which an encoder learns, unseen by any error of rebuilding, to invert the generator.

    discriminator            minimises  −E log D(x, E(x)) − E log(1 − D(G(z), z))
    encoder and generator    minimise   −E log(1 − D(x, E(x))) − E log D(G(z), z)

    Args:
        sharpness: what the normalised discriminator's scores are multiplied by, so that it sees a code that is off
    """
    generator, body, discriminator = joint_networks(spec, networks, 1, sharpness)
    return BiGAN(spec, generator, PointEncoder(body), discriminator, play=play)


@recipe(
    "ali",
    family="adversarial",
    paper="Dumoulin et al. 2017, arXiv:1606.00704",
    needs={"image": Image},
    steps=6_000,
    batch_size=64,
)
def ali(
    spec: Spec,
    *,
    sharpness: float = 8.0,
    networks: Networks = Networks(discriminator="plain", width=16, latent_dim=16),
    play: Play = Play(learning_rate=5e-4),
) -> BiGAN:
    """A game over pairs in which an encoder learns the distribution of latents behind each example.

    discriminator            minimises  −E log D(x, z ~ q(z|x)) − E log(1 − D(G(z), z))
    encoder and generator    minimise   −E log(1 − D(x, z ~ q(z|x))) − E log D(G(z), z)

    q(z|x) = N(μ(x), diag σ²(x)); `bigan` has a deterministic encoder in its place.

    Args:
        sharpness: what the normalised discriminator's scores are multiplied by, so that it sees a code that is off
    """
    generator, body, discriminator = joint_networks(spec, networks, 2, sharpness)
    return BiGAN(spec, generator, GaussianEncoder(body), discriminator, play=play)
