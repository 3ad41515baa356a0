"""GAN-CLS and GAN-INT (Reed et al. 2016): images of what a caption says."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Spec, Text
from kallima.layers.modes import evaluating
from kallima.layers.spectral import spectrally_normalised
from kallima.networks.conditional import ProjectionDiscriminator, ReadingDiscriminator
from kallima.networks.reading import Reading
from kallima.objectives.matching import matching_aware
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import build_discriminator, build_generator
from kallima.systems.adversarial.sense_settings import Senses
from kallima.systems.adversarial.settings import Networks, Play


class MatchingAwareGAN(TwoPlayerGame):
    """A conditional game whose discriminator is also shown real images with the wrong condition.

    Reed et al. 2016, "Generative adversarial text to image synthesis", arXiv:1605.05396.

        discriminator   minimises  −log D(x, φ_D(t)) − ½ log(1 − D(G(z, φ_G(t)), φ_D(t))) − ½ log(1 − D(x, φ_D(t')))
        generator       minimises  −log D(G(z, φ_G(t)), φ_D(t)) − λ log D(G(z, φ̂_G), φ̂_D),   φ̂ = ½ φ(t₁) + ½ φ(t₂)

    Symbols: x a real image, t its caption (or the sound that goes with it), t' that of another image of the batch
    which differs from t, z normal noise, φ what a player makes of a caption, D = sigmoid of the score. Without the
    third term (algorithm 1: real image, wrong text) a discriminator can do well without a look at the caption. λ is
    `interpolated`: captions that nobody wrote lie between two of the batch (Eq. 5, with β = ½), and need no image.

    What to watch: "wrong" falls last, once the discriminator has begun to read; where it stays at ½ log 2 = 0.347, the
    images have nothing to do with the captions. `kallima evaluate` asks a classifier (`label-recovery`,
    `attribute-recovery`) and a judge of pairs (`r-precision`).

    Where we deviate: each player reads with a network of its own, learned with the rest; the paper's one is trained
    first, on captions and images. The discriminator compares what it read with its features, as in Miyato &
    Koyama 2018, where the paper joins them before the last convolution; its weights are spectrally normalised.
    """

    discriminator: ReadingDiscriminator
    reading: Reading

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: ReadingDiscriminator,
        *,
        play: Play,
        conditions: Conditions,
        reading: Reading,
        interpolated: float = 0.0,
    ):
        super().__init__(spec, generator, discriminator, play=play, conditions=conditions, reading=reading)
        self.interpolated = interpolated

    def game(self) -> list[Phase]:
        """The discriminator's steps, then the generator's, which reads for itself."""
        play = self.play
        rate = play.discriminator_learning_rate
        judge = self.player("discriminator", self.discriminator, self.conditions, rate=rate)
        maker = self.player("generator", self.generator, self.reading, average=play.average)
        return [
            Phase(judge.name, judge, self.discriminator_loss, repeats=play.discriminator_steps, after=self.learn),
            Phase(maker.name, maker, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell images with their own captions from fakes, and from images with another's."""
        condition, real = self.conditions.vectors(batch), batch["image"]
        with torch.no_grad():
            fake = self.forge(len(batch), self.told(condition))
        other = condition.roll(1, 0)
        differs = (other != condition).any(1).to(real.dtype)
        told = self.discriminator.reading(condition)
        right, forged, wrong = self.discriminator.judge(
            torch.cat([real, fake, real]), torch.cat([told, told, told.roll(1, 0)])
        ).chunk(3)
        terms = matching_aware(right, forged, wrong, differs)
        return terms, {"accuracy": (right > forged).to(torch.float32).mean(), "condition": condition}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge images of the batch's captions, and of what lies between two of them."""
        condition = self.conditions.vectors(batch)
        made, told = self.told(condition), self.discriminator.reading(condition)
        terms = {"adversarial": F.softplus(-self.discriminator.judge(self.forge(len(batch), made), told)).mean()}
        if self.interpolated:
            made, told = (0.5 * (each + each.roll(1, 0)) for each in (made, told))
            score = self.discriminator.judge(self.forge(len(batch), made), told)
            terms["interpolated"] = self.interpolated * F.softplus(-score).mean()
        return terms

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return the score of each of the examples (N, C, H, W) with a caption as the data has them: (N,)."""
        rng = torch.Generator().manual_seed(0)
        with evaluating(self):
            return self.discriminator(examples, self.conditions.draw(len(examples), rng))


@recipe(
    "gan-cls",
    family="adversarial",
    paper="Reed et al. 2016, arXiv:1605.05396",
    needs={"image": Image, "text": Text},
    steps=6_000,
    batch_size=64,
    view={"tokens": "word"},
)
def gan_cls(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = ("text",),
    senses: Senses = Senses(),
    networks: Networks = Networks(generator="resnet", discriminator="plain", width=32, latent_dim=64),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
) -> MatchingAwareGAN:
    """Images of captions, by a game whose discriminator is also shown real images with the wrong caption.

    `kallima sample RUN --condition "blue hair, red eyes"` draws what you say, in the words of the training's captions.

    Args:
        condition_on: which of text, audio, label, attributes, values and domain to condition on.
    """
    return matching_aware_gan(spec, condition_on, senses, networks, play)


@recipe(
    "gan-int",
    family="adversarial",
    paper="Reed et al. 2016, arXiv:1605.05396",
    needs={"image": Image, "text": Text},
    steps=6_000,
    batch_size=64,
    view={"tokens": "word"},
)
def gan_int(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = ("text",),
    senses: Senses = Senses(),
    interpolated: float = 1.0,
    networks: Networks = Networks(generator="resnet", discriminator="plain", width=32, latent_dim=64),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
) -> MatchingAwareGAN:
    """`gan-cls` that also learns from captions halfway between two, which have no image (the paper's GAN-INT-CLS).

    Args:
        condition_on: which of text, audio, label, attributes, values and domain to condition on.
        interpolated: weight λ of the images of captions halfway between two.
    """
    return matching_aware_gan(spec, condition_on, senses, networks, play, interpolated)


def matching_aware_gan(
    spec: Spec,
    condition_on: tuple[str, ...],
    senses: Senses,
    networks: Networks,
    play: Play,
    interpolated: float = 0.0,
) -> MatchingAwareGAN:
    """Build the game; each player reads with a network of its own."""
    conditions = Conditions(spec, condition_on, sensed=True, hearing=senses.hearing)
    own, judging = (Reading(conditions, width=senses.reading_width, reader=senses.reader) for _ in range(2))
    plain = build_discriminator(spec, networks)
    inner = ProjectionDiscriminator(plain, judging.outputs)
    if any(hasattr(part, "parametrizations") for part in plain.modules()):
        spectrally_normalised(inner)
    return MatchingAwareGAN(
        spec,
        build_generator(spec, networks, condition_size=own.outputs),
        ReadingDiscriminator(judging, inner),
        play=play,
        conditions=conditions,
        reading=own,
        interpolated=interpolated,
    )
