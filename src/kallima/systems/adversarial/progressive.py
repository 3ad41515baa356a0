"""Progressive growing (Karras et al. 2018): a game that begins with tiny images and doubles them as it goes."""

from functools import partial

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.growing import GrowingDiscriminator, GrowingGenerator, doubled, halved
from kallima.objectives.adversarial import wasserstein
from kallima.objectives.penalties import interpolated_gradient_penalty
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Play


class ProgressiveGAN(TwoPlayerGame):
    """Generator and critic grow together: first the smallest grid, then twice its size, until the image is whole.

    Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and variation", arXiv:1710.10196.

        critic      minimises  −E s(x) + E s(G(z)) + λ E(‖∇s(x̂)‖ − 1)² + ε E s(x)²
        generator   minimises  −E s(G(z))

    both at the size of the stage, where they are

        G(z) = (1 − α) up(image of the stage before) + α image of this stage
        x    = (1 − α) up(down(x_k)) + α x_k,        x_k the data's image at the size of the stage
        s    = the critic whose new block is a share α of the way, beside the old way in

    Symbols: z normal noise; x̂ = ε' x + (1 − ε') G(z), ε' ~ U(0, 1); up repeats pixels, down is the mean of four; α
    rises from 0 to 1 in a straight line while a stage fades in (section 2 and figure 2), and is then 1. With u the
    share `growing` of the training over twice the number of doublings, stage 0 is played for u, each further stage
    fades in for u and goes on for u, and the last goes on to the end: as many images to a fade as to what follows it,
    as in appendix A. All layers learn all the time.

    The networks have equalised learning rates, pixel-wise normalisation in the generator and the standard deviation of
    a small group of images in the critic (section 3 and 4); one step of the critic a step of the generator. Samples are
    those of the stage that is played, enlarged, and cut off at the ends of [−1, 1], which nothing else keeps them in.

    What to watch: each stage has terms and an "accuracy" of its own, named by the height of its images, as in
    "discriminator-16". Samples go on without a jump where a stage begins, with α = 0; the penalty jumps, for a slope
    that spreads over four times as many pixels is half as long.

    Where we deviate: fewer channels; twice the learning rate (with the paper's 800 steps of 32 digits taught nothing);
    the moments of Adam are kept from stage to stage, the authors' code forgets them; one batch size at all sizes; 28
    pixels begin with 7. As in the paper the slope of a score is taken with the other images of its group in view.
    """

    generator: GrowingGenerator
    discriminator: GrowingDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: GrowingGenerator,
        discriminator: GrowingDiscriminator,
        *,
        play: Play,
        growing: float,
        gradient_penalty: float,
        drift: float,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if not 0 < growing <= 1:
            raise UsageError(f"--growing is a share of the training above 0 and at most 1, not {growing:g}")
        self.last = len(generator.blocks) - 1
        self.unit = growing / (2 * self.last)
        self.gradient_penalty, self.drift = gradient_penalty, drift

    def span(self, stage: int) -> tuple[float, float]:
        """Return the progress at which a stage begins, and at which it ends."""
        start = max(0, 2 * stage - 1) * self.unit
        return start, 1.0 if stage == self.last else (2 * stage + 1) * self.unit

    def alpha(self, stage: int) -> Tensor:
        """Return how far a stage has faded in, from 0 to 1, a scalar: a pure function of the progress."""
        return ((self.progress - self.span(stage)[0]) / self.unit).clamp(0, 1) if stage else self.progress.new_ones(())

    def game(self) -> list[Phase]:
        """The turns of each stage, one after another; the players are the same in all."""
        play, phases = self.play, []
        critic = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        maker = self.player("generator", self.generator, average=play.average)
        image = self.spec["image"]
        assert isinstance(image, Image)
        for stage in range(self.last + 1):
            height, during = image.shape[1] >> (self.last - stage), self.span(stage)
            judging, making = partial(self.discriminator_loss, stage=stage), partial(self.generator_loss, stage=stage)
            turns = play.discriminator_steps, play.generator_steps
            phases += [
                Phase(f"discriminator-{height}", critic, judging, repeats=turns[0], during=during),
                Phase(f"generator-{height}", maker, making, repeats=turns[1], during=during),
            ]
        return phases

    def discriminator_loss(self, batch: Batch, stage: int = 0) -> Turn:
        """Tell the batch, at the size of the stage, from as many fakes."""
        alpha, real = self.alpha(stage), self.seen(batch, stage)
        with torch.no_grad():
            fake = self.drawn(len(batch), stage)
        critic = partial(self.discriminator, stage=stage, alpha=alpha)
        real_scores, fake_scores = critic(real), critic(fake)
        terms = dict(wasserstein.discriminator(real_scores, fake_scores))
        terms["gradient_penalty"] = self.gradient_penalty * interpolated_gradient_penalty(critic, real, fake)
        terms["drift"] = self.drift * real_scores.square().mean()
        return terms, {f"accuracy-{real.shape[2]}": (real_scores > fake_scores).to(torch.float32).mean()}

    def generator_loss(self, batch: Batch, stage: int = 0) -> Terms:
        """Forge as many images of the stage as the batch has."""
        scores = self.discriminator(self.drawn(len(batch), stage), stage, self.alpha(stage))
        return wasserstein.generator(None, scores)

    def drawn(self, count: int, stage: int) -> Tensor:
        """Return `count` fakes of a stage."""
        return self.generator(self.prior.draw(count, self.device), stage, self.alpha(stage))

    def seen(self, batch: Batch, stage: int) -> Tensor:
        """Return the batch's images at the size of a stage, faded in as the stage is."""
        real = batch["image"]
        for _ in range(self.last - stage):
            real = halved(real)
        return torch.lerp(doubled(halved(real)), real, self.alpha(stage)) if stage else real

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents (N, d): those of the stage that is played, enlarged to the image's size."""
        progress = float(self.progress)
        stage = max(stage for stage in range(self.last + 1) if self.span(stage)[0] <= progress)
        with evaluating(self):
            images = self.generator(latents, stage, self.alpha(stage))
        for _ in range(self.last - stage):
            images = doubled(images)
        return images.clamp(-1, 1)


@recipe(
    "progressive",
    family="adversarial",
    paper="Karras et al. 2018, arXiv:1710.10196",
    needs={"image": Image},
    steps=20_000,
    batch_size=32,
)
def progressive(
    spec: Spec,
    *,
    growing: float = 0.5,
    gradient_penalty: float = 10.0,
    drift: float = 0.001,
    width: int = 32,
    latent_dim: int = 128,
    play: Play = Play(learning_rate=2e-3, beta1=0.0, beta2=0.99),
) -> ProgressiveGAN:
    """Progressive growing: images of 4 x 4 pixels first, then twice the size, and twice again, each faded in.

        critic      minimises  −E s(x) + E s(G(z)) + λ E(‖∇s(x̂)‖ − 1)² + ε E s(x)²
        generator   minimises  −E s(G(z))

    Small images are learned in little time, and a large one then begins from what is right on the whole;
    `ProgressiveGAN`'s card has the stages.

    Args:
        growing: share of the training by which the last size has faded in; the rest is played at full size.
        gradient_penalty: weight λ of the penalty on the norm of the critic's gradient.
        drift: weight ε of the squared scores of real images, which keeps them from drifting off.
        width: channels at half the image's size; half as many at its full size, up to four times as many below.
        latent_dim: dimensions of the latent z.
    """
    image = spec["image"]
    assert isinstance(image, Image)
    return ProgressiveGAN(
        spec,
        GrowingGenerator(latent_dim, image, width=width),
        GrowingDiscriminator(image, width=width),
        play=play,
        growing=growing,
        gradient_penalty=gradient_penalty,
        drift=drift,
    )
