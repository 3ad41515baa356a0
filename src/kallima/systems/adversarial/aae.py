"""Adversarial autoencoders (Makhzani et al. 2016): the game that shapes codes, and its first recipe."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.code_priors import PetalPrior, SwissRollPrior
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import build_encoder, build_generator
from kallima.systems.adversarial.settings import Networks, Play

Prior = NormalPrior | PetalPrior | SwissRollPrior


class CodedGame(TwoPlayerGame):
    """An autoencoder against discriminators of its codes: one of their noise z, one of their category if there is one.

    The decoder is the game's generator: it takes codes (N, d), z first and then, with `categories` K > 0, the
    probabilities of the K categories. The encoder gives (N, d) likewise, with logits in their place. While it learns it
    sees examples with normal noise of standard deviation `input_noise`, and the z that it gives is the mean of a normal
    distribution of standard deviation `style_noise`, from which the z that is decoded and judged is drawn.
    """

    def __init__(
        self,
        spec: Spec,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminators: Sequence[nn.Module],
        *,
        prior: Prior,
        categories: int = 0,
        adversarial_weight: float,
        input_noise: float = 0.0,
        style_noise: float = 0.0,
        play: Play,
        conditions: Conditions | None = None,
    ):
        super().__init__(spec, decoder, nn.ModuleList(discriminators), play=play, conditions=conditions)
        self.encoder, self.categories = encoder, categories
        self.prior = prior
        self.adversarial_weight = adversarial_weight
        self.input_noise, self.style_noise = input_noise, style_noise
        self.noise = slice(0, prior.dimensions)
        self.category = slice(prior.dimensions, prior.dimensions + categories)
        self.judged = {"": self.noise, "category_": self.category} if categories else {"": self.noise}

    def game(self) -> list[Phase]:
        """The discriminators' steps, then the autoencoder's."""
        play = self.play
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        autoencoder = self.player("autoencoder", self.encoder, self.generator, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("autoencoder", autoencoder, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell draws from the prior from the codes of the batch, through which no gradient reaches the encoder."""
        with torch.no_grad():
            codes = self.drawn(self.code(self.blurred(batch[self.field])))
        real, fake = self.score(self.draw(len(batch))), self.score(codes)
        terms = {}
        for part in self.judged:
            for name, term in non_saturating.discriminator(real[part], fake[part]).items():
                terms[part + name] = term
        return terms, {"accuracy": (real[""] > fake[""]).to(torch.float32).mean()}

    def generator_loss(self, batch: Batch) -> Terms:
        """Rebuild the batch from codes that pass for draws from the prior."""
        example = batch[self.field]
        return self.autoencoding(example, self.code(self.blurred(example)))

    def autoencoding(self, example: Tensor, codes: Tensor) -> Terms:
        """Return the autoencoder's terms of examples (N, …) and what they were coded as (N, d)."""
        codes = self.drawn(codes)
        terms = {"reconstruction": F.mse_loss(self.generator(codes), example)}
        for part, scores in self.score(codes).items():
            for name, term in non_saturating.generator(None, scores).items():
                terms[part + name] = self.adversarial_weight * term
        return terms

    def blurred(self, examples: Tensor) -> Tensor:
        """Add the encoder's noise to examples (N, …), where there is any."""
        return examples + self.input_noise * torch.randn_like(examples) if self.input_noise else examples

    def drawn(self, codes: Tensor) -> Tensor:
        """Add the noise of z to codes (N, d), where there is any."""
        if not self.style_noise:
            return codes
        z, category = codes[:, self.noise], codes[:, self.category]
        return torch.cat([z + self.style_noise * torch.randn_like(z), category], 1)

    def code(self, examples: Tensor) -> Tensor:
        """(N, …) to codes (N, d): z, and the probabilities of the categories."""
        return self.decided(self.encoder(examples))

    def decided(self, outputs: Tensor) -> Tensor:
        """Turn what the encoder gives (N, d) into codes: logits into probabilities."""
        if not self.categories:
            return outputs
        return torch.cat([outputs[:, self.noise], outputs[:, self.category].softmax(1)], 1)

    def score(self, codes: Tensor) -> dict[str, Tensor]:
        """Return what each discriminator says (N,) of its part of the codes (N, d), by what its terms begin with."""
        judges = zip(self.judged.items(), cast(nn.ModuleList, self.discriminator), strict=True)
        return {part: judge(codes[:, place]) for (part, place), judge in judges}

    def draw(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw codes (count, d) from the prior: z, and each category as often, one-hot; `rng` as for `Prior.draw`."""
        z = self.prior.draw(count, self.device, rng)
        if not self.categories:
            return z
        here = self.device if rng is None else torch.device("cpu")
        category = torch.randint(self.categories, (count,), generator=rng, device=here)
        return torch.cat([z, F.one_hot(category, self.categories).to(z)], 1)

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` latents (count, d) from the prior; of the categories asked for (count, K), where they are."""
        codes = self.draw(count, rng or torch.default_generator)
        if condition is not None:
            codes[:, self.category] = condition.to(codes)
        return codes

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the codes (N, d) of examples (N, …), which `decode` takes."""
        with evaluating(self):
            return self.code(examples)

    @torch.no_grad()
    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the decoder makes of the codes of examples (N, …): (N, …) likewise."""
        return self.decode(self.encode(examples))


class AdversarialAutoencoder(CodedGame):
    """An autoencoder whose codes look like draws from a chosen prior, so that what it decodes from the prior is new.

    Makhzani et al. 2016, "Adversarial autoencoders", arXiv:1511.05644 (section 2, figure 1; settings of the appendix).

        discriminator   minimises  −E log D(z) − E log(1 − D(E(x))),    z ~ p(z)
        autoencoder     minimises  E mean (G(E(x)) − x)² − λ E log D(E(x))

    Symbols: x an example, E the encoder, G the decoder, z a draw from the prior p(z), D the discriminator of codes, λ
    the adversarial weight. At the equilibrium of the second term the codes of the data, taken all together, are
    distributed as p(z): what a variational autoencoder asks for by a KL divergence, which needs the density of the
    prior; here draws from it are enough. Priors: normal; `petals`, ten narrow Gaussians in the plane like the petals of
    a flower; `swiss-roll`, a spiral. Examples are sampled by decoding draws from the prior.

    What to watch: "reconstruction", the squared error per dimension, against that of a plain autoencoder, which
    λ = 0 gives; and the discriminator's terms, which sum to log 4 = 1.386 where the codes cannot be told from the
    prior. `kallima evaluate` scores samples; whether codes follow the prior is for a test of two samples to say
    (`kallima.evaluation.gaussian_mmd`). Codes of images that it has not learned from follow it nearly as well, if these
    are drawn like those that it has; MNIST's test images, by other writers, are not.

    Where we deviate: the paper steps down the two terms in turn, with an optimiser for each; here the autoencoder takes
    one step down their sum, in which λ is a plain exchange rate. Codes are batch-normalised, in a plain autoencoder of
    λ = 0 too. The optimiser is Adam, not descent with momentum; samples come from an average of the weights; the normal
    prior has a standard deviation of 1, not 5; layers have 512 units, not 1,000 (`--width 1000`). Images are rebuilt
    through tanh. The encoder is deterministic.
    """


Shape = Literal["normal", "petals", "swiss-roll"]


def prior_of(shape: Shape, networks: Networks) -> Prior:
    """Return the prior of a shape, in as many dimensions as the networks' latents have.

    Raises:
        UsageError: a shape in the plane for latents of other dimensions.
    """
    dimensions = networks.latent_dim or 8
    if shape == "normal":
        return NormalPrior(dimensions)
    prior = PetalPrior() if shape == "petals" else SwissRollPrior()
    if dimensions != prior.dimensions:
        raise UsageError(f"the prior '{shape}' lies in the plane, and codes have {dimensions} numbers: --latent-dim 2")
    return prior


def code_encoder(spec: Spec, networks: Networks, outputs: int) -> nn.Module:
    """Build an encoder to codes (N, outputs), of which each number is batch-normalised.

    Without that, one of the categories takes all examples before any of them has a form, and its softmax lets go no
    more; and codes start far from the prior.
    """
    return nn.Sequential(build_encoder(spec, networks, outputs), nn.BatchNorm1d(outputs))


def code_discriminator(dimensions: int, units: int) -> nn.Module:
    """Build a discriminator of codes (N, dimensions), of two hidden layers, as all of the paper's networks."""
    return MLPDiscriminator((dimensions,), width=units, depth=2)


@recipe(
    "aae",
    family="adversarial",
    paper="Makhzani et al. 2016, arXiv:1511.05644",
    needs=({"image": Image}, {"points": Points}),
    steps=6_000,
    batch_size=128,
)
def aae(
    spec: Spec,
    *,
    prior: Shape = "normal",
    adversarial_weight: float = 0.1,
    code_units: int = 256,
    networks: Networks = Networks(generator="mlp", width=512, depth=2, latent_dim=8),
    play: Play = Play(learning_rate=1e-3, schedule="cosine"),
) -> AdversarialAutoencoder:
    """An autoencoder against a discriminator of its codes, which makes them look like draws from a prior.

        discriminator   minimises  −E log D(z) − E log(1 − D(E(x))),    z ~ p(z)
        autoencoder     minimises  E mean (G(E(x)) − x)² − λ E log D(E(x))

    The decoder G has the generator's body, the encoder E the discriminator's; D is dense. With λ = 0 it is a plain
    autoencoder, to compare with.

    Args:
        prior: what codes are to look like: normal, or in the plane (`--latent-dim 2`) petals or a swiss-roll
        adversarial_weight: λ, what passing for a draw from the prior is worth against a squared error; 0 for none
        code_units: units of each hidden layer of the discriminator of codes
    """
    chosen = prior_of(prior, networks)
    return AdversarialAutoencoder(
        spec,
        code_encoder(spec, networks, chosen.dimensions),
        build_generator(spec, networks),
        [code_discriminator(chosen.dimensions, code_units)],
        prior=chosen,
        adversarial_weight=adversarial_weight,
        play=play,
    )
