"""LAPGAN (Denton et al. 2015): a pyramid of games, each of which adds the details of one size to the coarser."""

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Spec
from kallima.errors import DataError, UsageError
from kallima.layers.laplacian import down, up
from kallima.layers.spectral import spectrally_normalised
from kallima.networks.conditional import ConcatenationDiscriminator
from kallima.networks.discriminator import Discriminator
from kallima.networks.laplacian import DetailDiscriminator, DetailGenerator, LaplacianGenerator
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Play

COARSEST = 8
"""Pixels of the shorter side from which on an image is halved no more."""


class LAPGAN(TwoPlayerGame):
    """A Laplacian pyramid of games: a small image from nothing, then its details, twice the size each time.

    Denton et al. 2015, "Deep generative image models using a Laplacian pyramid of adversarial networks",
    arXiv:1506.05751 (section 3).

        coarsest    discriminator   minimises  −E log D(I_K) − E log(1 − D(G(z)))
                    generator       minimises  −E log D(G(z))
        each finer  discriminator   minimises  −E log D(I_k | l_k) − E log(1 − D(l_k + G(z, l_k) | l_k))
        level k     generator       minimises  −E log D(l_k + G(z, l_k) | l_k),      l_k = up(down(I_k))

    Symbols: I_0 an image of the data, I_{k+1} = down(I_k) the same at half the size, I_K the coarsest; l_k the coarse
    image, blurred, at the size of level k; h_k = I_k − l_k the details, the true ones of which G(z, l_k) forges; z the
    noise, at finer levels a plane of it; D(x) = sigmoid(s(x)). As in the paper the discriminator sees details and
    coarse image as their sum. Levels share nothing: each learns from the data's own coarse images, in one run beside
    the others. An image is drawn coarse to fine, each level adding details to what the one before has drawn:

        Ĩ_K = G(z_K),   Ĩ_k = up(Ĩ_{k+1}) + G(z_k, up(Ĩ_{k+1}))

    Under conditions both players of each level are told the label, as in the paper's CC-LAPGAN, and the attributes and
    values of the data if it has those; the recipe's `--conditional`.

    What to watch: each level has terms and an "accuracy" of its own, named by the height of its images, as in
    "discriminator-28"; two terms that sum to log 4 = 1.386 are undecided. What looks wrong on the whole, a shape, is
    the coarsest level's; what looks frayed is a finer one's. No level ever sees the mistakes of the one before.

    Where we deviate: discriminators are spectrally normalised (Miyato et al. 2018), the paper's have dropout; with
    neither the coarsest game soon drew one image over and over. The filters of the pyramid are (1 3 3 1)/8; images are
    cut off at the ends of their range, those that the discriminators see too; the noise is normal, not uniform;
    convolutions of the details work on squares of 2 x 2 pixels folded into channels, with fewer of them; Adam, with an
    average of the weights for sampling, instead of descent with momentum.
    """

    generator: LaplacianGenerator

    def __init__(
        self,
        spec: Spec,
        generator: LaplacianGenerator,
        discriminators: Sequence[Discriminator],
        *,
        play: Play,
        conditions: Conditions | None = None,
    ):
        super().__init__(spec, generator, nn.ModuleList(discriminators), play=play, conditions=conditions)

    def game(self) -> list[Phase]:
        """The turns of each level, coarsest first: its discriminator's steps, then its generator's."""
        play, phases = self.play, []
        image = cast(Image, self.spec["image"])
        count = len(self.discriminators)
        for level, judge in enumerate(self.discriminators):
            size = image.shape[1] >> (count - 1 - level)
            told = [self.conditions] if self.conditional and level == 0 else []
            rate = play.discriminator_learning_rate
            discriminator = self.player(f"discriminator-{size}", judge, *told, rate=rate)
            generator = self.player(f"generator-{size}", self.generator.levels[level], average=play.average)
            losses = partial(self.discriminator_loss, level=level), partial(self.generator_loss, level=level)
            after = self.learn if told else None
            repeats = play.discriminator_steps, play.generator_steps
            phases.append(Phase(discriminator.name, discriminator, losses[0], repeats=repeats[0], after=after))
            phases.append(Phase(generator.name, generator, losses[1], repeats=repeats[1]))
        return phases

    def discriminator_loss(self, batch: Batch, level: int = 0) -> Turn:
        """Tell the batch at the level's size from what the generator makes of as many coarse images of its own."""
        real, coarse, condition = self.at(batch, level)
        with torch.no_grad():
            fake = self.forged(level, real, coarse, condition)
        both = torch.cat([real, fake])
        real_scores, fake_scores = self.score(level, both, _twice(coarse), _twice(condition)).chunk(2)
        notes = {f"accuracy-{real.shape[2]}": (real_scores > fake_scores).to(torch.float32).mean()}
        if self.conditional and level == 0:
            notes["condition"] = condition
        return non_saturating.discriminator(real_scores, fake_scores), notes

    def generator_loss(self, batch: Batch, level: int = 0) -> Terms:
        """Forge images of the level's size, finer ones from the batch's coarse images."""
        real, coarse, condition = self.at(batch, level)
        fake = self.forged(level, real, coarse, condition)
        return non_saturating.generator(None, self.score(level, fake, coarse, condition))

    def at(self, batch: Batch, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the batch's images at a level's size, their coarse form at that size, and their conditions (N, K).

        At the coarsest level the coarse form is empty (N, 0, H, W); without conditions K is 0.
        """
        real = batch["image"]
        for _ in range(len(self.discriminators) - 1 - level):
            real = down(real)
        coarse = up(down(real)) if level else real[:, :0]
        return real, coarse, self.conditions.vectors(batch) if self.conditional else real.new_zeros(len(real), 0)

    def forged(self, level: int, real: Tensor, coarse: Tensor, condition: Tensor) -> Tensor:
        """Return as many fakes as there are real images, of their shape."""
        if level == 0:
            latent = torch.randn(len(real), self.generator.coarsest_dim, device=real.device)
            return self.generator.coarsest(latent, condition)
        noise = torch.randn(len(real), 1, *real.shape[2:], device=real.device)
        return self.generator.refined(level, coarse, noise, condition)

    def score(self, level: int, images: Tensor, coarse: Tensor, condition: Tensor) -> Tensor:
        """Return what the level's discriminator says of images (N, C, H, W) beside their coarse form: (N,)."""
        judge = self.discriminators[level]
        return judge(images, coarse, condition) if level else judge(images, condition)

    @property
    def discriminators(self) -> nn.ModuleList:
        """Those of all levels, coarsest first."""
        return cast(nn.ModuleList, self.discriminator)


def _twice(value: Tensor) -> Tensor:
    return torch.cat([value, value])


def sizes(image: Image, levels: int | None) -> list[Image]:
    """Return the image at the size of each level, coarsest first.

    `levels` counts the halvings; None halves until the shorter side has 8 pixels or fewer, or one side is odd.

    Raises:
        DataError: a side is odd that is to be halved.
        UsageError: there is no halving.
    """
    channels, height, width = image.shape
    common = math.gcd(height, width)
    possible = (common & -common).bit_length() - 1  # how often 2 divides both
    if levels is None:
        levels = max(1, min(possible, math.ceil(math.log2(min(height, width) / COARSEST))))
    if levels < 1:
        raise UsageError(f"--levels counts how often an image is halved, from 1, not {levels}")
    if levels > possible:
        multiple = 1 << levels
        nearest = max(1, round(min(height, width) / multiple)) * multiple
        often = "once" if levels == 1 else f"{levels} times"
        raise DataError(f"{height}x{width} pixels cannot be halved {often}: give --size {nearest}")
    return [Image(channels, height >> level, width >> level) for level in range(levels, -1, -1)]


@recipe(
    "lapgan",
    family="adversarial",
    paper="Denton et al. 2015, arXiv:1506.05751",
    needs={"image": Image},
    steps=3_500,
    batch_size=64,
)
def lapgan(
    spec: Spec,
    *,
    levels: int | None = None,
    conditional: bool = False,
    latent_dim: int = 64,
    units: int = 256,
    depth: int = 2,
    width: int = 32,
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
) -> LAPGAN:
    """A pyramid of games: the coarsest draws a small image, each finer one adds the details of twice the size.

        coarsest    discriminator   minimises  −E log D(I_K) − E log(1 − D(G(z)));    generator  −E log D(G(z))
        each finer  discriminator   minimises  −E log D(I_k | l_k) − E log(1 − D(l_k + G(z, l_k) | l_k))
        level k     generator       minimises  −E log D(l_k + G(z, l_k) | l_k),      l_k = up(down(I_k))

    Any size will do that can be halved.

    Args:
        levels: how many times the image is halved; by default until its shorter side has 8 pixels or fewer
        conditional: tell both players of each level the label, the attributes and the values that the data has
        latent_dim: dimensions of the latent of the coarsest image
        units: units of each hidden layer of the coarsest pair
        depth: hidden layers of the coarsest pair
        width: channels of the networks of details
    """
    image = spec["image"]
    assert isinstance(image, Image)
    conditions = Conditions(spec) if conditional else None
    told = conditions.size if conditions is not None else 0
    coarsest, *finer = sizes(image, levels)
    seen = (coarsest.channels + told, *coarsest.shape[1:])
    generator = LaplacianGenerator(
        MLPGenerator(latent_dim, coarsest.shape, width=units, depth=depth, condition_size=told),
        [DetailGenerator(each, width=width, condition_size=told) for each in finer],
    )
    discriminators = [
        ConcatenationDiscriminator(MLPDiscriminator(seen, width=units, depth=depth)),
        *(DetailDiscriminator(each, width=width, condition_size=told) for each in finer),
    ]
    normalised = [spectrally_normalised(each) for each in discriminators]
    return LAPGAN(spec, generator, normalised, play=play, conditions=conditions)
