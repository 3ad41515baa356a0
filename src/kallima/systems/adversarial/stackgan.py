"""StackGAN (Zhang et al. 2017): a coarse image of a condition, then a fine one of the coarse one and the condition."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import KINDS, Conditions
from kallima.data.spec import Attributes, Audio, Image, Label, Spec, Text, Values
from kallima.errors import UsageError
from kallima.layers.conditioning_augmentation import ConditioningAugmentation
from kallima.layers.modes import evaluating
from kallima.networks.conditional import ConcatenationDiscriminator, ProjectionDiscriminator, ReadingDiscriminator
from kallima.networks.reading import Reading
from kallima.networks.refiner import Refiner
from kallima.objectives.gaussian import standard_normal_divergence
from kallima.objectives.matching import matching_aware
from kallima.recipe import recipe
from kallima.system import Batch, Phase
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import build_discriminator, build_generator
from kallima.systems.adversarial.sense_settings import Senses
from kallima.systems.adversarial.settings import Networks, Play


class StackedGenerator(nn.Module):
    """Both stages: latents (N, latent_dim + K) to images. The first 2A numbers are the noise ε of either stage.

    A is the size of an augmented condition, K that of a condition, which comes last.
    """

    def __init__(self, first: nn.Module, second: Refiner, first_cloud: nn.Module, second_cloud: nn.Module, noise: int):
        super().__init__()
        self.first, self.second, self.first_cloud, self.second_cloud = first, second, first_cloud, second_cloud
        assert isinstance(first_cloud, ConditioningAugmentation)
        self.augmented = first_cloud.outputs
        self.latent_dim = 2 * self.augmented + noise

    def coarse(self, latent: Tensor) -> Tensor:
        """Return stage I's images (N, C, H/2, W/2)."""
        epsilon, _, noise, condition = self._split(latent)
        return self.first(torch.cat([noise, self.first_cloud(condition, epsilon)], 1))

    def forward(self, latent: Tensor) -> Tensor:
        """Return stage II's images (N, C, H, W)."""
        _, epsilon, _, condition = self._split(latent)
        return self.second(self.coarse(latent), self.second_cloud(condition, epsilon))

    def _split(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first, second, noise = self.augmented, self.augmented, self.latent_dim - 2 * self.augmented
        return latent.split([first, second, noise, latent.shape[1] - self.latent_dim], 1)


class StackGAN(TwoPlayerGame):
    """Two games one after the other: stage I draws half-size images of a condition, stage II draws them in detail.

    Zhang et al. 2017, "StackGAN: text to photo-realistic image synthesis with stacked generative adversarial
    networks", arXiv:1612.03242; c may be label, attributes, values, a text that is read or a sound that is heard.

        ĉ = μ(c) + σ(c) ε                                                  conditioning augmentation, one net a stage
        stage I     min_D0  −E log D0(x₀, c) − ½ E log(1 − D0(G0(z, ĉ₀), c)) − ½ E log(1 − D0(x₀, c'))
                    min_G0  −E log D0(G0(z, ĉ₀), c) + λ KL(N(μ₀(c), Σ₀(c)) ‖ N(0, I)) / A
        stage II    the same with D, and G(G0(z, ĉ₀), ĉ) in the place of G0(z, ĉ₀)

    Symbols: x a real image, x₀ the same at half the size (2 × 2 means), c its condition, c' that of another image in
    the batch which differs from c (a real image with a wrong condition is to be told as false; section 3.3), z and ε
    normal noise. Stage II takes no new noise but ε, and G0 stands still in it (section 3.4).

    One run plays stage I for the share `first_stage` of its steps, then stage II. Until then samples are stage I's,
    each pixel drawn as four.

    Where we deviate: the generator's loss is the non-saturating one, and the divergence is averaged over the A numbers
    of ĉ, both as in the authors' code (summed, its weight of 1 left nothing of the condition in ĉ); discriminators see
    the condition as planes beside the image, but compare a text or a sound with their features (as planes it taught
    nothing in 2,500 steps); stage I's batch normalisation is scaled and shifted by ĉ₀; stage II
    doubles the size, where the paper's 64 to 256 quadruples it.
    """

    generator: StackedGenerator

    def __init__(
        self,
        spec: Spec,
        generator: StackedGenerator,
        coarse_judge: nn.Module,
        fine_judge: nn.Module,
        conditions: Conditions,
        *,
        play: Play,
        first_stage: float,
        divergence: float,
        reading: Reading | None = None,
    ):
        judges = nn.ModuleList([coarse_judge, fine_judge])
        super().__init__(spec, generator, judges, play=play, conditions=conditions, reading=reading)
        if not 0 < first_stage < 1:
            raise UsageError(f"--first-stage is a share of the training between 0 and 1, not {first_stage:g}")
        self.judges, self.first_stage, self.divergence = judges, first_stage, divergence

    def game(self) -> list[Phase]:
        """Stage I's players, then stage II's."""
        play, made = self.play, self.generator
        makers = {"first": [made.first, made.first_cloud], "second": [made.second, made.second_cloud]}
        makers["first"] += [] if self.reading is None else [self.reading]
        spans = {"first": (0.0, self.first_stage), "second": (self.first_stage, 1.0)}
        phases = []
        for stage, (name, modules) in enumerate(makers.items()):
            judging, making = partial(self.discriminator_loss, stage=stage), partial(self.generator_loss, stage=stage)
            # both stages see the same conditions: the first fills the memory
            judges = [self.judges[stage]] if stage else [self.judges[stage], self.conditions]
            judge = self.player(f"{name} discriminator", *judges, rate=play.discriminator_learning_rate)
            maker = self.player(f"{name} generator", *modules, average=play.average)
            learn, repeats = None if stage else self.learn, play.discriminator_steps
            phases += [
                Phase(judge.name, judge, judging, repeats=repeats, during=spans[name], after=learn),
                Phase(maker.name, maker, making, repeats=play.generator_steps, during=spans[name]),
            ]
        return phases

    def discriminator_loss(self, batch: Batch, stage: int = 1) -> Turn:
        """Tell images with their own condition from fakes, and from images with another's."""
        condition, real = self.conditions.vectors(batch), self.seen(batch, stage)
        with torch.no_grad():
            fake = self.draw(condition, stage)
        other = condition.roll(1, 0)
        differs = (other != condition).any(1).to(real.dtype)
        pairs = [(real, condition), (fake, condition), (real, other)]
        # apart: batch statistics of their own, as in DCGAN
        right, forged, wrong = (self.judges[stage](*pair) for pair in pairs)
        terms = matching_aware(right, forged, wrong, differs)
        return terms, {"accuracy": (right > forged).to(torch.float32).mean(), "condition": condition}

    def generator_loss(self, batch: Batch, stage: int = 1) -> Turn:
        """Forge images of the batch's conditions."""
        condition = self.conditions.vectors(batch)
        cloud = (self.generator.first_cloud, self.generator.second_cloud)[stage]
        assert isinstance(cloud, ConditioningAugmentation)
        score = self.judges[stage](self.draw(condition, stage), condition)
        divergence = standard_normal_divergence(*cloud.moments(self.told(condition))).mean() / cloud.outputs
        return {"adversarial": F.softplus(-score).mean(), "divergence": self.divergence * divergence}

    def draw(self, condition: Tensor, stage: int) -> Tensor:
        """Return a stage's images of conditions (N, K)."""
        latent = torch.cat([self.prior.draw(len(condition), self.device), self.told(condition)], 1)
        return self.generator(latent) if stage else self.generator.coarse(latent)

    def seen(self, batch: Batch, stage: int) -> Tensor:
        """Return the batch's images at a stage's size."""
        return batch["image"] if stage else F.avg_pool2d(batch["image"], 2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents (N, d): stage I's, enlarged, until stage II has begun."""
        with evaluating(self):
            if float(self.progress) < self.first_stage:
                return F.interpolate(self.generator.coarse(latents), scale_factor=2, mode="nearest")
            return self.generator(latents)


@recipe(
    "stackgan",
    family="adversarial",
    paper="Zhang et al. 2017, arXiv:1612.03242",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
        {"image": Image, "text": Text},
        {"image": Image, "audio": Audio},
    ),
    steps=6_000,
    batch_size=64,
    view={"tokens": "word"},
)
def stackgan(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    augmented: int = 16,
    divergence: float = 1.0,
    first_stage: float = 0.5,
    senses: Senses = Senses(reading_width=32),
    networks: Networks = Networks(width=32),
    play: Play = Play(),
) -> StackGAN:
    """Two stages: half-size images of what is asked for, then those redrawn at full size, in detail.

    Each stage is a conditional game of its own, the second on top of the first; `StackGAN`'s card has the losses.

    Args:
        condition_on: which of label, attributes, values and domain, text and audio to condition on; by default all of
            the first four that the data has, or else its text, or else its sounds.
        augmented: numbers of an augmented condition.
        divergence: weight λ of the divergence that keeps augmented conditions close to N(0, I).
        first_stage: share of the training after which the second stage takes over.
    """
    image = spec["image"]
    assert isinstance(image, Image)
    colours, height, columns = image.shape
    if height % 2 or columns % 2:
        raise UsageError(f"the two stages halve images once, and these have {columns}×{height} pixels: give --size")
    if not condition_on and not any(isinstance(spec.get(name), kind) for name, kind in KINDS.items()):
        condition_on = ("text",) if "text" in spec else ("audio",)
    conditions = Conditions(spec, condition_on, sensed=True, hearing=senses.hearing)
    sensed = len(conditions.senses) > 0
    read = partial(Reading, conditions, width=senses.reading_width, reader=senses.reader)
    reading = read() if sensed else None
    told = conditions.size if reading is None else reading.outputs
    half = Spec({**spec.fields, "image": Image(colours, height // 2, columns // 2)})
    clouds = [ConditioningAugmentation(told, augmented) for _ in range(2)]
    first = build_generator(half, networks, condition_size=augmented)
    second = Refiner(image, augmented, width=networks.width or 64)
    judges: list[nn.Module] = []
    for each in (half, spec):
        seen = each["image"]
        assert isinstance(seen, Image)
        if sensed:
            plain = build_discriminator(each, networks)
            judges.append(ReadingDiscriminator(read(), ProjectionDiscriminator(plain, told)))
        else:
            wider = Spec({**each.fields, "image": Image(colours + told, seen.height, seen.width)})
            judges.append(ConcatenationDiscriminator(build_discriminator(wider, networks)))
    noise = first.latent_dim
    assert isinstance(noise, int)
    generator = StackedGenerator(first, second, clouds[0], clouds[1], noise)
    lengths = {"first_stage": first_stage, "divergence": divergence}
    return StackGAN(spec, generator, judges[0], judges[1], conditions, play=play, reading=reading, **lengths)
