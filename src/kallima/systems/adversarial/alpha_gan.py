"""α-GAN (Rosca et al. 2017): an autoencoder whose images and whose codes each have a discriminator of their own."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.networks.discriminator import Discriminator
from kallima.networks.encoder import PointEncoder
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.adversarial import cross_entropy_discriminator
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.encoding import EncodingGame
from kallima.systems.adversarial.pair import build_discriminator, build_encoder, build_generator
from kallima.systems.adversarial.settings import Networks, Play


class AlphaGAN(EncodingGame):
    """An encoder and a generator that rebuild examples, judged by a discriminator of images and one of codes.

    Rosca et al. 2017, "Variational approaches for auto-encoding generative adversarial networks", arXiv:1706.04987
    (Algorithm 1).

        x̂ = G(ẑ), ẑ = E(x);   x_p = G(z), z ~ N(0, I)

        encoder              minimises  λ ‖x − x̂‖₁ − E log C(ẑ) + E log(1 − C(ẑ))
        generator            minimises  λ ‖x − x̂‖₁ + ∑_{v = x̂, x_p} (−E log D(v) + E log(1 − D(v)))
        discriminator        minimises  −2 E log D(x) − E log(1 − D(x̂)) − E log(1 − D(x_p))
        code discriminator   minimises  −E log C(z) − E log(1 − C(ẑ))

    Symbols: x an example, ẑ its code, x̂ its reconstruction, x_p a sample, E the encoder, G the generator, D and C the
    discriminators of images and of codes, each a sigmoid of a score. The bound of variational inference has two terms
    that cannot be computed, the likelihood and KL(q(z) ‖ N(0, I)); each is taken from the ratio of densities that a
    discriminator knows: log D/(1 − D) = its score. So the encoder and the generator minimise λ ‖x − x̂‖₁ less scores.
    ‖·‖₁ is a mean over pixels, so that λ does not depend on the size of images.

    What to watch: the code discriminator's terms sum to log 4 = 1.386, the discriminator's to 2 log 4 = 2.773, where
    they cannot tell. A code discriminator near 0 says that codes have left the prior: then reconstructions are good and
    samples are not. "rebuilding" is what λ weighs.

    Where we deviate: the first version of the paper has the sides of C's loss exchanged, which we take for a slip, for
    C would help codes to leave the prior. Real examples count twice for D, because there are two kinds of fakes. Each
    player steps once a turn, discriminators first. D is spectrally normalised, and codes are a function of x, without
    noise: the paper leaves q(z | x) open.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        encoder: PointEncoder,
        discriminator: Discriminator,
        code_discriminator: Discriminator,
        *,
        rebuilding: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.encoder, self.code_discriminator, self.rebuilding = encoder, code_discriminator, rebuilding

    def game(self) -> list[Phase]:
        """Both discriminators' steps, then the encoder's, then the generator's: four players."""
        play = self.play
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        codes = self.player("code_discriminator", self.code_discriminator, rate=play.discriminator_learning_rate)
        encoder = self.player("encoder", self.encoder, average=play.average)
        generator = self.player("generator", self.generator, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("code_discriminator", codes, self.code_discriminator_loss, repeats=play.discriminator_steps),
            Phase("encoder", encoder, self.encoder_loss, repeats=play.generator_steps),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the batch from its reconstructions and from samples."""
        with torch.no_grad():
            fakes = self.fakes(batch)
        real, (rebuilt, sampled) = self.discriminator(batch[self.field]), self.discriminator(fakes).chunk(2)
        return {
            "real": 2 * F.softplus(-real).mean(),
            "rebuilt": F.softplus(rebuilt).mean(),
            "sampled": F.softplus(sampled).mean(),
        }

    def code_discriminator_loss(self, batch: Batch) -> Terms:
        """Tell latents of the prior, the real ones here, from the batch's codes."""
        with torch.no_grad():
            codes = self.encoder.draw(batch[self.field])
        latents = self.prior.draw(len(batch), self.device)
        terms = cross_entropy_discriminator(self.code_discriminator(latents), self.code_discriminator(codes))
        return {"prior": terms["real"], "codes": terms["fake"]}

    def encoder_loss(self, batch: Batch) -> Terms:
        """Find codes from which the batch can be rebuilt, and have them taken for latents of the prior."""
        codes = self.encoder.draw(batch[self.field])
        rebuilt = self.generator(codes)
        return {"rebuilding": self.error(batch[self.field], rebuilt), "codes": -self.code_discriminator(codes).mean()}

    def generator_loss(self, batch: Batch) -> Terms:
        """Rebuild the batch, and have reconstructions and samples taken for real."""
        fakes = self.fakes(batch)
        rebuilt, sampled = self.discriminator(fakes).chunk(2)
        return {
            "rebuilding": self.error(batch[self.field], fakes[: len(batch)]),
            "rebuilt": -rebuilt.mean(),
            "sampled": -sampled.mean(),
        }

    def fakes(self, batch: Batch) -> Tensor:
        """Return the batch's reconstructions, then as many samples, made in one batch (2N, …); not for the encoder."""
        with torch.no_grad():
            codes = self.encoder.draw(batch[self.field])
        return self.generator(torch.cat([codes, self.prior.draw(len(batch), self.device)]))

    def error(self, examples: Tensor, rebuilt: Tensor) -> Tensor:
        """λ times the mean absolute error over pixels and examples."""
        return self.rebuilding * (examples - rebuilt).abs().mean()


@recipe(
    "alpha-gan",
    family="adversarial",
    paper="Rosca et al. 2017, arXiv:1706.04987",
    needs={"image": Image},
    steps=4_000,
    batch_size=64,
)
def alpha_gan(
    spec: Spec,
    *,
    rebuilding: float = 20.0,
    code_width: int = 256,
    networks: Networks = Networks(discriminator="plain", width=16, latent_dim=32),
    play: Play = Play(learning_rate=5e-4),
) -> AlphaGAN:
    """An autoencoder with two adversaries: one tells images from real ones, one tells codes from the prior.

        encoder              minimises  λ ‖x − x̂‖₁ − c(E(x))
        generator            minimises  λ ‖x − x̂‖₁ − s(x̂) − s(x_p)
        discriminator        minimises  −2 E log D(x) − E log(1 − D(x̂)) − E log(1 − D(x_p))
        code discriminator   minimises  −E log C(z) − E log(1 − C(E(x)))

    x̂ = G(E(x)) is the reconstruction of x, x_p = G(z) a sample; s and c are the logits of D and C.

    Args:
        rebuilding: λ, the weight of the mean absolute error of rebuilding
        code_width: units of each of the code discriminator's two dense layers
    """
    generator = build_generator(spec, networks)
    codes = int(generator.latent_dim)  # type: ignore[arg-type]
    encoder = PointEncoder(build_encoder(spec, replace(networks, discriminator="auto"), codes))
    judges = build_discriminator(spec, networks), MLPDiscriminator((codes,), width=code_width, depth=2)
    return AlphaGAN(spec, generator, encoder, *judges, rebuilding=rebuilding, play=play)
