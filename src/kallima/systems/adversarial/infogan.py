"""InfoGAN (Chen et al. 2016): codes in the latent that can be read off the examples, and so come to mean something."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.latent_codes import CodedPrior
from kallima.layers.modes import evaluating
from kallima.networks.branched import BranchedDiscriminator
from kallima.networks.mixing import MixingGenerator, mixing_discriminator
from kallima.objectives.adversarial import non_saturating
from kallima.objectives.information import category_information, number_information
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import build_discriminator, build_generator
from kallima.systems.adversarial.settings import Networks, Play

READER_UNITS = 128
"""Units of Q's own hidden layer, as in the paper."""
MIXING = 16
"""Units of the dense layers of generator and discriminator, times `--width`: the paper has 1,024 beside 64 channels."""


class InfoGAN(TwoPlayerGame):
    """A game in which part of the latent, the code, has to be readable from the examples that are made of it.

    Chen et al. 2016, "InfoGAN: interpretable representation learning by information maximizing generative adversarial
    nets", arXiv:1606.03657.

        min_{G, Q} max_D  V(D, G) − λ L_I(G, Q),     L_I = H(c) + E log Q(c | G(z, c)) ≤ I(c; G(z, c))     (Eq. 5, 6)

        discriminator, Q   minimise   −E log D(x) − E log(1 − D(G(z, c))) − λ L_I
        generator          minimises  −E log D(G(z, c)) − λ L_I

    Symbols: x an example, c = (category, c1, c2, …) the code, one of K equally frequent categories and numbers from
    U(−1, 1), z ~ N(0, I) the rest of the latent, Q the reader, a second head on the discriminator's features: a softmax
    for the category, a Gaussian for each number, whose mean and deviation it gives, σ = exp(·), with its whole log
    density. λ is `number_weight` for the numbers; for the category it grows over the training, in equal ratios, to
    `category_weight` from that divided by `rise`. Nothing is told of any label.

    Who moves on L_I: Q shares the discriminator's layers, and each parameter belongs to one player. As in the authors'
    code, the discriminator's step takes L_I of its fakes among its terms, so it moves Q's own layers and the shared
    ones; the generator's takes L_I of its own. No gradient of L_I comes from real examples, whose codes nobody knows.

    What to watch: "information", L_I of the category in nats. It starts at or below 0 and comes near log K (2.303 for
    ten). Once a category can be read off it hardly changes its meaning any more: where that happens while the samples
    are still poor it means a kind of stroke. Which category goes with which class, and whether it does, differs between
    seeds.

    Where we deviate: z is normal, not uniform, and has few dimensions, so that kinds which lie apart are left to the
    category. λ is small until samples look like something; the paper's is 1 (`--rise 1`). The networks are those of the
    paper's appendix C.1 but for their widths.
    """

    discriminator: BranchedDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: BranchedDiscriminator,
        *,
        prior: CodedPrior,
        category_weight: float,
        number_weight: float,
        rise: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.prior, self.parts = prior, prior.parts
        self.codes = prior
        self.category_weight, self.number_weight, self.rise = category_weight, number_weight, rise

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the batch from as many fakes, and read the codes of these."""
        latent, fake = self.coded(len(batch), moving=False)
        real_scores = self.discriminator(batch[self.field])
        fake_scores, read = self.discriminator.both(fake)
        terms = dict(non_saturating.discriminator(real_scores, fake_scores))
        accuracy = (real_scores > fake_scores).to(torch.float32).mean()
        return terms | self.unread(latent, read)[0], {"accuracy": accuracy}

    def generator_loss(self, batch: Batch) -> Turn:
        """Forge as many examples as the batch has, that pass for real and whose codes can be read."""
        latent, fake = self.coded(len(batch))
        scores, read = self.discriminator.both(fake)
        unread, information = self.unread(latent, read)
        return dict(non_saturating.generator(None, scores)) | unread, information

    def coded(self, count: int, *, moving: bool = True) -> tuple[Tensor, Tensor]:
        """Draw `count` latents (count, d) and forge an example of each; a gradient passes where G is `moving`."""
        latent = self.prior.draw(count, self.device)
        with torch.set_grad_enabled(moving):
            return latent, self.generator(latent)

    def unread(self, latent: Tensor, read: Tensor) -> tuple[Terms, Terms]:
        """Return −λ L_I but for the constant H(c), as terms, and L_I of the category and of the numbers, as notes.

        `read` (N, K + 2 d) is what Q says of the examples of latents (N, …): logits, means, logarithms of deviations.
        """
        codes = self.codes
        about_category, about_numbers = read[:, : codes.categories], read[:, codes.categories :]
        information = {"information": category_information(about_category, latent[:, codes.category])}
        weight = self.category_weight * self.rise ** (self.progress - 1)
        terms = {"category": -weight * information["information"]}
        if codes.numbers:
            means, log_deviations = about_numbers.chunk(2, 1)
            numbers = latent[:, codes.category.stop :]
            information["number_information"] = number_information(means, log_deviations, numbers)
            terms["numbers"] = -self.number_weight * information["number_information"]
        return terms, {name: value.detach() for name, value in information.items()}

    @torch.no_grad()
    def cluster(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each category for examples (N, …), as Q reads it: (N, K)."""
        with evaluating(self):
            return self.discriminator.told(examples)[:, : self.codes.categories].log_softmax(1)

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return the score of each of the examples (N, …): (N,)."""
        with evaluating(self):
            return self.discriminator(examples)


@recipe(
    "infogan",
    family="adversarial",
    paper="Chen et al. 2016, arXiv:1606.03657",
    needs=({"image": Image}, {"points": Points}),
    steps=3_000,
    batch_size=64,
)
def infogan(
    spec: Spec,
    *,
    categories: int = 10,
    numbers: int = 2,
    category_weight: float = 0.6,
    number_weight: float = 0.02,
    rise: float = 20.0,
    networks: Networks = Networks(width=32, latent_dim=8),
    play: Play = Play(learning_rate=1e-3, discriminator_learning_rate=2e-4, schedule="cosine"),
) -> InfoGAN:
    """A game that finds what a category and some numbers of the latent are to mean, so that they can be read again.

        discriminator, Q   minimise   −E log D(x) − E log(1 − D(G(z, c))) − λ L_I
        generator          minimises  −E log D(G(z, c)) − λ L_I,     L_I = H(c) + E log Q(c | G(z, c))

    It sorts examples into the categories that it found. `kallima explore RUN traverse --along c1` shows what c1 means.

    Args:
        categories: K, how many categories there are
        numbers: how many numbers from U(−1, 1) the code has besides
        category_weight: λ of the category at the end
        number_weight: λ of the numbers
        rise: how many times its λ at the beginning that of the category is at the end
    """
    if categories < 2:
        raise UsageError(f"--categories counts from 2, not {categories}")
    if numbers < 0:
        raise UsageError(f"--numbers is 0 or more, not {numbers}")
    if rise <= 0:
        raise UsageError(f"--rise is above 0, not {rise:g}: 1 for a λ that stays as it is")
    noise = networks.latent_dim or (16 if "points" in spec else 62)
    prior = CodedPrior(noise, categories, numbers)
    discriminator = build_discriminator(spec, networks)
    if "points" in spec or networks.generator == "mlp":  # dense all through
        generator = build_generator(spec, replace(networks, latent_dim=prior.dimensions))
    else:
        units = MIXING * (networks.width or 64)
        inner = build_generator(spec, replace(networks, latent_dim=units))
        generator = MixingGenerator(prior.dimensions, inner, units)
        discriminator = mixing_discriminator(discriminator, units)
    assert isinstance(discriminator.head, nn.Linear)
    reader = nn.Sequential(
        nn.Linear(discriminator.head.in_features, READER_UNITS, bias=False),
        nn.BatchNorm1d(READER_UNITS),
        nn.LeakyReLU(0.2),
        nn.Linear(READER_UNITS, categories + 2 * numbers),
    )
    return InfoGAN(
        spec,
        generator,
        BranchedDiscriminator(discriminator, reader),
        prior=prior,
        category_weight=category_weight,
        number_weight=number_weight,
        rise=rise,
        play=play,
    )
