"""Unrolled GAN (Metz et al. 2016): a generator that looks a few of the discriminator's steps ahead."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import minimax
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import TwoPlayerGame, sum_of
from kallima.systems.adversarial.pair import has_batch_norm, pair
from kallima.systems.adversarial.settings import Networks, Play

TINY = 1e-30
"""Below any mean square that counts: keeps the slope of its root finite where a gradient was always 0."""


class Moments(nn.Module):
    """What Adam knows of a player's gradients: their running mean and mean square, each (P,), and their number.

    They equal those in the player's own optimiser (Kingma & Ba 2015, Algorithm 1), and its steps can be differentiated.
    """

    mean: Tensor
    square: Tensor
    count: Tensor

    def __init__(self, size: int, betas: tuple[float, float], epsilon: float = 1e-8):
        super().__init__()
        self.betas, self.epsilon = betas, epsilon
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def take_in(self, gradient: Tensor) -> None:
        """Follow a step that the player took."""
        mean, square, count = self.after((self.mean, self.square, self.count), gradient)
        self.mean.copy_(mean)
        self.square.copy_(square)
        self.count.copy_(count)

    def after(self, state: tuple[Tensor, Tensor, Tensor], gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, square and count once another gradient (P,) has been seen."""
        mean, square, count = state
        beta1, beta2 = self.betas
        return beta1 * mean + (1 - beta1) * gradient, beta2 * square + (1 - beta2) * gradient.square(), count + 1

    def direction(self, state: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return m̂ / (√v̂ + ε): what Adam subtracts at a rate of 1."""
        mean, square, count = state
        beta1, beta2 = self.betas
        root = (square.clamp(min=TINY) / (1 - beta2**count)).sqrt()
        return mean / (1 - beta1**count) / (root + self.epsilon)


class UnrolledGAN(TwoPlayerGame):
    """The generator plays against the discriminator as it will be after K steps in answer to these very fakes.

    Metz et al. 2016, "Unrolled generative adversarial networks", arXiv:1611.02163 (Eqs. 2, 4 and 7 to 10).

        f(θ_G, θ_D) = E log D(x) + E log(1 − D(G(z)))                     the game's value
        θ⁰ = θ_D,   θᵏ⁺¹ = θᵏ + η Adam(∇_θ f(θ_G, θᵏ)),   f_K(θ_G, θ_D) = f(θ_G, θᴷ)
        generator       minimises   f_K(θ_G, θ_D), through all K steps
        discriminator   minimises  −f(θ_G, θ_D)

    Symbols: x an example, z the latent, G(z) a fake, D = sigmoid(s) of the score s, θ_G and θ_D the weights of both, η
    the rate of the inner steps. Through θᴷ the gradient of the generator tells how the discriminator would react: fakes
    crowded on one mode are an advantage that it would take away, and so the generator keeps to many. K = 0 is the
    minimax game; as K grows, θᴷ tends to the best discriminator, and the generator to minimising 2 JS(p, p_G) − log 4.

    What to watch: the terms "real" and "fake" of the discriminator sum to log 4 = 1.386 where it cannot tell. The
    generator's one is f_K: it lies between −log 4 and 0, near 0 where the unrolled discriminator has won. A step costs
    more than K times that of the plain game.

    The inner steps are those that the discriminator would take: Adam's, from the moments of all its gradients so far,
    and at its own rate, as in the paper's experiments. Plain gradient ascent, as in its equations, wants another rate
    as the discriminator grows sharper: on the ring η = 0.1 overshoots after some 600 steps, and the generator flees
    for good, while with 0.01 the first 1,000 steps find one mode.

    Where we deviate: all inner steps read the batch and the latents that the generator is judged on, as in the authors'
    code: the answer is to these fakes, and a step reads no more data than that of another game. They are Adam's
    whatever the players' own optimiser is. The unrolled weights are made as values and forgotten; the discriminator
    itself moves only in its own turn.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        unrolled_steps: int,
        inner_rate: float | None = None,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if has_batch_norm(discriminator):
            raise UsageError(
                "unrolled steps leave no traces, which batch statistics would: give --discriminator-norm none"
            )
        if unrolled_steps < 0:
            raise UsageError(f"--unrolled-steps counts from 0, not {unrolled_steps}")
        if inner_rate is not None and inner_rate <= 0:
            raise UsageError(f"--inner-rate is above 0, not {inner_rate:g}; for no inner steps give --unrolled-steps 0")
        self.unrolled_steps = unrolled_steps
        self.inner_rate = inner_rate or play.discriminator_learning_rate or play.learning_rate
        size = sum(weight.numel() for weight in discriminator.parameters())
        self.moments = Moments(size, (play.beta1, play.beta2))

    def game(self) -> list[Phase]:
        """The discriminator's steps, whose gradients are remembered, then the generator's."""
        play = self.play
        rate = play.discriminator_learning_rate
        discriminator = self.player("discriminator", self.discriminator, self.moments, rate=rate)
        generator = self.player("generator", self.generator, average=play.average)
        steps = play.discriminator_steps
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=steps, after=self.remember),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def remember(self, notes: Mapping[str, Tensor]) -> None:
        """Take in the gradient of the discriminator's step."""
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad
            for weight in self.discriminator.parameters()
        ]
        self.moments.take_in(torch.cat([gradient.flatten() for gradient in gradients]))

    def discriminator_loss(self, batch: Batch) -> Terms:
        """One ordinary step: tell the batch from as many fakes."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        return minimax.discriminator(self.discriminator(batch[self.field]), self.discriminator(fake))

    def generator_loss(self, batch: Batch) -> Terms:
        """Return the game's value under the discriminator of K steps later."""
        real, fake = batch[self.field], self.forge(len(batch))
        return {"adversarial": -self.losses(self.unroll(real, fake), real, fake)}

    def unroll(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return θᴷ (P,), differentiable in the fakes; the discriminator's own weights stay as they are."""
        weights = torch.cat([weight.flatten() for weight in self.discriminator.parameters()])
        state = self.moments.mean, self.moments.square, self.moments.count
        for _ in range(self.unrolled_steps):
            state = self.moments.after(state, torch.func.grad(self.losses)(weights, real, fake))
            weights = weights - self.inner_rate * self.moments.direction(state)
        return weights

    def losses(self, weights: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """−f: what the discriminator minimises under `weights` (P,), a scalar."""
        own = dict(self.discriminator.named_parameters())
        parts = weights.split([weight.numel() for weight in own.values()])
        shaped = {name: part.view_as(own[name]) for name, part in zip(own, parts, strict=True)}
        scores = functional_call(self.discriminator, shaped, torch.cat([real, fake])).chunk(2)
        return sum_of(minimax.discriminator(*scores))


@recipe(
    "unrolled",
    family="adversarial",
    paper="Metz et al. 2016, arXiv:1611.02163",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def unrolled(
    spec: Spec,
    *,
    unrolled_steps: int = 5,
    inner_rate: float | None = None,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3, discriminator_learning_rate=1e-4),
) -> UnrolledGAN:
    """The generator looks a few steps of the discriminator ahead, which keeps it from crowding on one mode.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises   E log Dᴷ(x) + E log(1 − Dᴷ(G(z))),  Dᴷ being D after K inner steps

    The generator's gradient runs through the inner steps. K is `--unrolled-steps`; 0 is `gan-minimax`.

    Args:
        unrolled_steps: K, inner steps of the discriminator that the generator looks ahead
        inner_rate: η, the step size of the inner steps, which are Adam's; by default the discriminator's own
    """
    generator, discriminator = pair(spec, networks)
    return UnrolledGAN(spec, generator, discriminator, unrolled_steps=unrolled_steps, inner_rate=inner_rate, play=play)
