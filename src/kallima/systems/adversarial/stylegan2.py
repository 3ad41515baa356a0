"""StyleGAN2 (Karras et al. 2020): styles instead of latents, and generators whose steps in style are of one length."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.adaptive_augmentation import AdaptiveAugmentation
from kallima.layers.diffaugment import DiffAugment
from kallima.layers.sphere import SpherePrior
from kallima.networks.style_discriminator import StyleDiscriminator
from kallima.networks.style_generator import StyleGenerator, crossed
from kallima.objectives.adversarial import non_saturating
from kallima.objectives.path_length import moved_target, path_length_penalty, path_lengths
from kallima.objectives.penalties import zero_centred_penalty
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Play

STYLE_DECAY = 0.998
"""How slowly the mean style follows those of the latest fakes."""


class PathTarget(nn.Module):
    """The moving mean a of the path lengths, and how many times it has moved."""

    value: Tensor
    updates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def move(self, notes: Mapping[str, Tensor]) -> None:
        """Take over the note "path_target"."""
        self.value.copy_(notes["path_target"])
        self.updates += 1


class StyleGAN2(TwoPlayerGame):
    """A generator of styles: a latent becomes a style, which scales the weights of every layer that makes the image.

    Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958; mapping, style
    mixing, noise and truncation of Karras et al. 2019, arXiv:1812.04948; `--augment ada` of Karras et al. 2020,
    "Training generative adversarial networks with limited data", arXiv:2006.06676.

        w = f(z / rms(z))                        G(z) = g(w, …, w, noise)
        discriminator   minimises  −E log D(x) − E log(1 − D(G(z))),     every 16th step 16 (γ/2) E‖∇s(x)‖²
        generator       minimises  −E log D(G(z)),                       every 4th step 4 λ E(‖J_wᵀ y‖ − a)²
        weights         w''_oik = s_i w_oik / √(∑_ik (s_i w_oik)² + ε),  s = A(w) + 1

    Symbols: x an example, z the latent, f the mapping network, w a style, g the synthesis network, whose layer with
    weights w_oik (output channel o, input channel i, place k) is scaled by s and then brought back to outputs of
    variance 1 (demodulation), s(x) the discriminator's score, J_w the Jacobian of the image by the style, y normal
    noise of the image's shape over √(H W), a the moving mean of ‖J_wᵀ y‖. The penalty asks that a step in style changes
    the image as much wherever and whichever way it goes. Both penalties are lazy: computed seldom, times as much. With
    probability `--mixing` an image is made of two styles, the second from a layer drawn at random on: neighbouring
    layers learn not to rely on one another.

    A latent's length is its truncation: those of the prior have rms(z) = 1, and ψ z gives w̄ + ψ (w − w̄), w̄ the mean
    style. So `kallima explore truncate --psi 0.7` is the paper's truncation, and ψ = 0 shows the mean image. Noise is
    fresh for every image in training; in sampling it is one fixed picture a layer, so that a latent decides its image.

    What to watch: "real" and "fake" sum to log 4 where the discriminator cannot tell them apart; "accuracy" as for
    `gan`. The note "path_length" should settle near "path_target"; where both fall towards 0 the generator is
    ignoring its latents.

    Where we deviate: the generator sums the images of all levels and the discriminator is residual, as the paper's best
    pair, but both for 8 to 256 pixels on this library's pyramid (28 pixels start from 7 x 7), with half as many layers
    of mapping and, by default, at most 256 channels and 64 dimensions, where the paper has 512. Crossovers of mixed
    styles are drawn for each image, not each batch. a and w̄ start as plain means, not from 0. Groups of the minibatch
    deviation are neighbours; R1 is that of the summed scores, in which neighbours meet, as in the authors' code.
    Samples are clipped to [-1, 1]. Where it is conditional w̄ is the mean over all conditions, so a strong truncation
    forgets what was asked for.
    """

    generator: StyleGenerator
    discriminator: StyleDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: StyleGenerator,
        discriminator: StyleDiscriminator,
        *,
        play: Play,
        r1: float,
        r1_every: int,
        path_length: float,
        path_every: int,
        mixing: float,
        augmentation: nn.Module | None = None,
        conditions: Conditions | None = None,
    ):
        super().__init__(spec, generator, discriminator, play=play, conditions=conditions)
        if not 0 <= mixing <= 1:
            raise UsageError(f"--mixing is a probability, from 0 to 1, not {mixing:g}")
        if min(r1_every, path_every) < 1:
            raise UsageError("--r1-every and --path-every count from 1")
        if min(r1, path_length) < 0:
            raise UsageError("--r1 and --path-length are weights, at least 0")
        if play.simultaneous and (r1 or path_length):
            raise UsageError(
                "lazy penalties take turns of their own: leave out --simultaneous, or --r1 0 --path-length 0"
            )
        self.prior = SpherePrior(generator.latent_dim)
        self.r1, self.r1_every = r1, r1_every
        self.path_length, self.path_every, self.mixing = path_length, path_every, mixing
        self.augmentation = nn.Identity() if augmentation is None else augmentation
        self.target = PathTarget()

    def game(self) -> list[Phase]:
        """The discriminator's steps, then the generator's, each with its lazy penalty after it."""
        play = self.play
        discriminator = self.player(
            "discriminator",
            self.discriminator,
            self.augmentation,
            *([self.conditions] if self.conditional else []),
            rate=play.discriminator_learning_rate,
            lazy=self.r1_every if self.r1 else 1,
        )
        generator = self.player(
            "generator",
            self.generator,
            self.target,
            average=play.average,
            lazy=self.path_every if self.path_length else 1,
        )
        phases = [
            Phase(
                "discriminator",
                discriminator,
                self.discriminator_loss,
                repeats=play.discriminator_steps,
                after=self.learn,
            )
        ]
        if self.r1:
            phases.append(Phase("penalty", discriminator, self.penalty_loss, every=self.r1_every))
        repeats = play.generator_steps
        phases.append(Phase("generator", generator, self.generator_loss, repeats=repeats, after=self.follow))
        if self.path_length:
            phases.append(
                Phase("path", generator, self.path_length_loss, every=self.path_every, after=self.target.move)
            )
        return phases

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the batch from as many fakes; each in a batch of its own, for neighbours are seen together."""
        condition = self.condition_of(batch)
        with torch.no_grad():
            fake = self.forge(len(batch), condition)
        critic = self.critic(condition)
        real_scores, fake_scores = critic(self.augmentation(batch[self.field])), critic(self.augmentation(fake))
        notes = {"accuracy": (real_scores > fake_scores).to(torch.float32).mean()}
        if isinstance(self.augmentation, AdaptiveAugmentation):
            notes |= {"real_signs": real_scores.sign(), "augmentation": self.augmentation.probability}
        if condition is not None:
            notes["condition"] = condition
        return non_saturating.discriminator(real_scores, fake_scores), notes

    def penalty_loss(self, batch: Batch) -> Terms:
        """R1 alone, as many times over as the steps between two of them."""
        critic = self.critic(self.condition_of(batch))
        return {"r1": self.r1_every * self.r1 * zero_centred_penalty(critic, self.augmentation(batch[self.field]))}

    def generator_loss(self, batch: Batch) -> Turn:
        """Forge as many examples as the batch has."""
        condition = self.condition_of(batch)
        styles = self.styles(len(batch), condition)
        scores = self.critic(condition)(self.augmentation(self.generator.synthesis(styles)))
        return non_saturating.generator(None, scores), {"styles": styles[:, 0].detach()}

    def path_length_loss(self, batch: Batch) -> Turn:
        """The path-length penalty alone, of half as many fakes as the batch has, times over as R1."""
        condition = self.condition_of(batch)
        count = max(1, len(batch) // 2)
        styles = self.styles(count, None if condition is None else condition[:count])
        lengths = path_lengths(self.generator.synthesis, styles, torch.randn_like(batch[self.field][:count]))
        target = moved_target(self.target.value, lengths, self.target.updates)
        penalty = self.path_every * self.path_length * path_length_penalty(lengths, target)
        return {"path_length": penalty}, {"path_length": lengths.detach().mean(), "path_target": target}

    def styles(self, count: int, condition: Tensor | None = None) -> Tensor:
        """Draw the styles of `count` fakes, some of them mixed of two: (count, layers, D)."""
        layers = self.generator.layers
        first, second = self.style(count, condition), self.style(count, condition)
        crossover = torch.randint(1, layers, (count,), device=self.device)
        mixed = torch.rand(count, device=self.device) < self.mixing
        return crossed(first, second, torch.where(mixed, crossover, layers), layers)

    def style(self, count: int, condition: Tensor | None) -> Tensor:
        """Draw one style for each of `count` fakes: (count, D)."""
        latent = self.prior.draw(count, self.device)
        return self.generator.styles(latent if condition is None else torch.cat([latent, condition], 1))

    def forge(self, count: int, condition: Tensor | None = None) -> Tensor:
        """Return `count` fakes (count, C, H, W) of fresh styles, of a condition (count, K) if given."""
        return self.generator.synthesis(self.styles(count, condition))

    def critic(self, condition: Tensor | None) -> Callable[[Tensor], Tensor]:
        """Return the discriminator as one function of examples (N, …) of this condition."""
        return lambda examples: self.discriminator(examples, condition)

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """After the discriminator's step: what is learned without gradients."""
        if isinstance(self.augmentation, AdaptiveAugmentation):
            self.augmentation.adapt(notes)
        super().learn(notes)

    def follow(self, notes: Mapping[str, Tensor]) -> None:
        """After the generator's step: move the mean style towards the mean of the latest, "styles" (N, D)."""
        share = (1 / (1 + self.step)).clamp_min(1 - STYLE_DECAY)
        mean = self.generator.mean_style
        mean.lerp_(notes["styles"].mean(0).to(mean), share)


@recipe(
    "stylegan2",
    family="adversarial",
    paper="Karras et al. 2020, arXiv:1912.04958",
    needs={"image": Image},
    steps=30_000,
    batch_size=32,
)
def stylegan2(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    width: int = 64,
    latent_dim: int = 64,
    depth: int = 4,
    r1: float = 0.1,
    r1_every: int = 16,
    path_length: float = 2.0,
    path_every: int = 4,
    mixing: float = 0.9,
    augment: Literal["none", "diffaugment", "ada"] = "none",
    play: Play = Play(learning_rate=5e-3, beta1=0.0, beta2=0.99, average=0.998),
) -> StyleGAN2:
    """A style-based generator with lazy R1 and path-length penalties: the modern classic, for longer trainings.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z))),  lazily (γ/2) E‖∇s(x)‖²
        generator       minimises  −E log D(G(z)),                    lazily λ E(‖J_wᵀ y‖ − a)²

    γ is `--r1`: more of it for few, varied or large images (the authors take 2e-4 · pixels / batch size, up to 10),
    less where training is slow to start. With fewer than some ten thousand images give `--augment ada`, and `--flip`
    where a mirrored image is as good. The learning rate is twice the authors', for trainings that are as much shorter;
    in very short ones `sngan` gets further (600 steps on digits: a quarter of the distance).

    Args:
        condition_on: which of label, attributes, values and domain to condition on; by default none.
        width: channels at half the image's size; half as many at the image's own, up to four times as many below.
        latent_dim: dimensions of the latent z and of the style w.
        depth: layers of the mapping network.
        r1: weight γ of (γ/2) E‖∇s(x)‖² on real images; 0 for none.
        r1_every: compute R1 every this many steps, times as much.
        path_length: weight λ of the path-length penalty; 0 for none.
        path_every: compute the path-length penalty every this many steps, times as much.
        mixing: probability that a fake in training is made of two styles.
        augment: augment all that the discriminator sees: always (Zhao et al. 2020) or adaptively (Karras et al. 2020).
    """
    image = spec["image"]
    assert isinstance(image, Image)
    conditions = Conditions(spec, condition_on) if condition_on else None
    size = conditions.size if conditions is not None else 0
    augmentations = {"none": nn.Identity, "diffaugment": DiffAugment, "ada": AdaptiveAugmentation}
    return StyleGAN2(
        spec,
        StyleGenerator(latent_dim, image, width=width, depth=depth, condition_size=size),
        StyleDiscriminator(image, width=width, condition_size=size),
        play=play,
        r1=r1,
        r1_every=r1_every,
        path_length=path_length,
        path_every=path_every,
        mixing=mixing,
        augmentation=augmentations[augment](),
        conditions=conditions,
    )
