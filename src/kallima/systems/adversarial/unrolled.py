"""Unrolled GAN (Metz et al. 2016): a generator that looks a few of the discriminator's steps ahead."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import minimax
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.adversarial.game import TwoPlayerGame, sum_of
from kallima.systems.adversarial.pair import has_batch_norm, pair
from kallima.systems.adversarial.settings import Networks, Play

Weights = dict[str, Tensor]


class UnrolledGAN(TwoPlayerGame):
    """The generator plays against the discriminator as it will be after K steps in answer to these very fakes.

    Metz et al. 2016, "Unrolled generative adversarial networks", arXiv:1611.02163 (Eqs. 2, 4 and 7 to 10).

        f(θ_G, θ_D) = E log D(x) + E log(1 − D(G(z)))                  the game's value
        θ⁰ = θ_D,   θᵏ⁺¹ = θᵏ + η ∇_θ f(θ_G, θᵏ),   f_K(θ_G, θ_D) = f(θ_G, θᴷ)
        generator       minimises   f_K(θ_G, θ_D), through all K steps
        discriminator   minimises  −f(θ_G, θ_D)

    Symbols: x an example, z the latent, G(z) a fake, D = sigmoid(s) of the score s, θ_G and θ_D the weights of both, η
    the rate of the inner steps. Through θᴷ the gradient of the generator tells how the discriminator would react: fakes
    crowded on one mode are an advantage that it would take away, and so the generator keeps to many. K = 0 is the
    minimax game; as K grows, θᴷ tends to the best discriminator, and the generator to minimising 2 JS(p, p_G) − log 4.

    What to watch: the terms "real" and "fake" of the discriminator sum to log 4 = 1.386 where it cannot tell. The
    generator's one is f_K: it lies between −log 4 and 0, near 0 where the unrolled discriminator has won. A step costs
    about K times that of the plain game. Too large an η makes the inner steps diverge, too small a one makes K idle.

    Where we deviate: the inner steps are gradient ascent, as in the paper's equations, where its experiments use Adam.
    All of them read the batch and the latents that the generator is judged on, as in the authors' code: the answer is
    to these fakes, and a step reads no more data than that of another game. The unrolled weights are made as values
    and forgotten; the discriminator itself moves only in its own turn.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        unrolled_steps: int,
        inner_rate: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if has_batch_norm(discriminator):
            raise UsageError(
                "unrolled steps leave no traces, which batch statistics would: give --discriminator-norm none"
            )
        if unrolled_steps < 0:
            raise UsageError(f"--unrolled-steps counts from 0, not {unrolled_steps}")
        self.unrolled_steps, self.inner_rate = unrolled_steps, inner_rate

    def discriminator_loss(self, batch: Batch) -> Terms:
        """One ordinary step: tell the batch from as many fakes."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        return minimax.discriminator(self.discriminator(batch[self.field]), self.discriminator(fake))

    def generator_loss(self, batch: Batch) -> Terms:
        """Return the game's value under the discriminator of K steps later."""
        real, fake = batch[self.field], self.forge(len(batch))
        return {"adversarial": -self.losses(self.unroll(real, fake), real, fake)}

    def unroll(self, real: Tensor, fake: Tensor) -> Weights:
        """Return θᴷ by name, differentiable in the fakes; the discriminator's own weights stay as they are."""
        weights: Weights = dict(self.discriminator.named_parameters())
        for _ in range(self.unrolled_steps):
            gradients = torch.func.grad(self.losses)(weights, real, fake)
            weights = {name: weight - self.inner_rate * gradients[name] for name, weight in weights.items()}
        return weights

    def losses(self, weights: Weights, real: Tensor, fake: Tensor) -> Tensor:
        """−f: what the discriminator minimises under `weights`, a scalar."""
        scores = functional_call(self.discriminator, weights, torch.cat([real, fake])).chunk(2)
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
    inner_rate: float = 0.1,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3, discriminator_learning_rate=1e-4),
) -> UnrolledGAN:
    """The generator looks a few steps of the discriminator ahead, which keeps it from crowding on one mode.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises   E log Dᴷ(x) + E log(1 − Dᴷ(G(z))),  Dᴷ being D after K inner steps

    The generator's gradient runs through the inner steps. K is `--unrolled-steps`; 0 is `gan-minimax`.

    Args:
        unrolled_steps: K, inner steps of the discriminator that the generator looks ahead
        inner_rate: η, the step size of the inner steps
    """
    generator, discriminator = pair(spec, networks)
    return UnrolledGAN(spec, generator, discriminator, unrolled_steps=unrolled_steps, inner_rate=inner_rate, play=play)
