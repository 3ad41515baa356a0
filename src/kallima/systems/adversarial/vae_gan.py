"""VAE-GAN (Larsen et al. 2016): a variational autoencoder that compares by what a discriminator sees, not by pixels."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.networks.discriminator import Discriminator
from kallima.networks.encoder import GaussianEncoder
from kallima.objectives.gaussian import reparameterised, standard_normal_divergence
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.encoding import EncodingGame
from kallima.systems.adversarial.pair import build_discriminator, build_encoder, build_generator
from kallima.systems.adversarial.settings import Networks, Play


class VAEGAN(EncodingGame):
    """An encoder, a decoder that is also a generator, and a discriminator whose features say what is alike.

    Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric", arXiv:1512.09300 (Algorithm 1).

        x̂ = G(z), z ~ q(z | x) = N(μ(x), diag σ²(x));   x_p = G(z_p), z_p ~ N(0, I)

        encoder         minimises  KL(q(z | x) ‖ N(0, I)) + ½ ‖f(x) − f(x̂)‖²
        generator       minimises  γ ½ ‖f(x) − f(x̂)‖² − E log D(x̂) − E log D(x_p)
        discriminator   minimises  −E log D(x) − E log(1 − D(x̂)) − E log(1 − D(x_p))

    Symbols: x an example, z its code, x̂ its reconstruction, x_p a sample, G the decoder, D the discriminator, f its
    features before the last layer. ½ ‖f(x) − f(x̂)‖² is −log p(f(x) | z) of a Gaussian of unit variance but for a
    constant; it and KL are sums over dimensions and means over the batch. γ weighs likeness against being taken for
    real, for the generator alone. Features are what the discriminator learns to tell real from fake by; the likeness
    does not move it, else it would learn to see nothing. Of what the discriminator says the encoder hears nothing.

    What to watch: "prior", the information in nats that codes hold, settles at some tens on small images; near 0
    codes say nothing and all reconstructions are alike. The discriminator's three terms sum to 1.91 = log 3 + 2 log 1.5
    where it cannot tell (two of three images are fakes). Reconstructions are sharp, and true in kind rather than in
    each pixel.

    Where we deviate: the generator has the non-saturating loss in the place of Algorithm 1's log(1 − D). Features are
    those before the last layer, whichever the network. Their scale sets what a nat of KL is worth: batch normalisation
    in the discriminator, the paper's, holds it near 1 a feature; under spectral normalisation (`--discriminator
    plain`) it is smaller, and codes keep less.
    """

    encoder: GaussianEncoder
    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        encoder: GaussianEncoder,
        discriminator: Discriminator,
        *,
        gamma: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.encoder, self.gamma = encoder, gamma

    def game(self) -> list[Phase]:
        """The discriminator's steps, then the encoder's, then the generator's: three players."""
        play = self.play
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        encoder = self.player("encoder", self.encoder, average=play.average)
        generator = self.player("generator", self.generator, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("encoder", encoder, self.encoder_loss, repeats=play.generator_steps),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the batch from its reconstructions and from samples."""
        with torch.no_grad():
            fakes = self.fakes(batch)
        real, (rebuilt, sampled) = self.discriminator(batch[self.field]), self.discriminator(fakes).chunk(2)
        return {
            "real": F.softplus(-real).mean(),
            "rebuilt": F.softplus(rebuilt).mean(),
            "sampled": F.softplus(sampled).mean(),
        }

    def encoder_loss(self, batch: Batch) -> Terms:
        """Find codes of which the discriminator's features can be rebuilt, near the prior."""
        examples = batch[self.field]
        mean, log_variance = self.encoder.moments(examples)
        rebuilt = self.generator(reparameterised(mean, log_variance, torch.randn_like(mean)))
        unlikeness = self.unlikeness(examples, self.discriminator.features(rebuilt))
        return {"prior": standard_normal_divergence(mean, log_variance).mean(), "unlikeness": unlikeness}

    def generator_loss(self, batch: Batch) -> Terms:
        """Rebuild what the discriminator sees in the batch, and have reconstructions and samples taken for real."""
        features = self.discriminator.features(self.fakes(batch))
        rebuilt, sampled = self.discriminator.head(features).squeeze(1).chunk(2)
        return {
            "unlikeness": self.gamma * self.unlikeness(batch[self.field], features[: len(batch)]),
            "rebuilt": F.softplus(-rebuilt).mean(),
            "sampled": F.softplus(-sampled).mean(),
        }

    def fakes(self, batch: Batch) -> Tensor:
        """Return the batch's reconstructions, then as many samples, made in one batch (2N, …); not for the encoder."""
        with torch.no_grad():
            codes = self.encoder.draw(batch[self.field])
        return self.generator(torch.cat([codes, self.prior.draw(len(batch), self.device)]))

    def unlikeness(self, examples: Tensor, features: Tensor) -> Tensor:
        """Return the batch's mean of ½ ‖f(x) − f̂‖²: examples (N, …), and features (N, F) of their reconstructions."""
        with torch.no_grad():
            wanted = self.discriminator.features(examples)
        return 0.5 * (wanted - features).square().sum(1).mean()


@recipe(
    "vae-gan",
    family="adversarial",
    paper="Larsen et al. 2016, arXiv:1512.09300",
    needs={"image": Image},
    steps=4_000,
    batch_size=64,
)
def vae_gan(
    spec: Spec,
    *,
    gamma: float = 0.01,
    networks: Networks = Networks(width=16, latent_dim=32),
    play: Play = Play(learning_rate=5e-4),
) -> VAEGAN:
    """A variational autoencoder that rebuilds what a discriminator sees of an image, and must deceive it.

        encoder         minimises  KL(q(z | x) ‖ N(0, I)) + ½ ‖f(x) − f(x̂)‖²
        generator       minimises  γ ½ ‖f(x) − f(x̂)‖² − E log D(x̂) − E log D(x_p)
        discriminator   minimises  −E log D(x) − E log(1 − D(x̂)) − E log(1 − D(x_p))

    x̂ is the reconstruction of x, x_p a sample, f the features of D.

    Args:
        gamma: γ, the generator's weight of likeness to the original against being taken for real
    """
    generator = build_generator(spec, networks)
    codes = int(generator.latent_dim)  # type: ignore[arg-type]
    encoder = GaussianEncoder(build_encoder(spec, replace(networks, discriminator="auto"), 2 * codes))
    return VAEGAN(spec, generator, encoder, build_discriminator(spec, networks), gamma=gamma, play=play)
