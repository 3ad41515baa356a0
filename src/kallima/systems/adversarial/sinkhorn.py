"""Generators learnt by Sinkhorn divergences (Genevay et al. 2017), with or without an adversary."""

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.objectives.transport import sinkhorn_divergence
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.embedding import embedding_pair
from kallima.systems.adversarial.game import TwoPlayerGame
from kallima.systems.adversarial.settings import Networks, Play


class SinkhornGAN(TwoPlayerGame):
    """The generator minimises a Sinkhorn divergence between batches; an adversary may learn the cost, none is needed.

    Genevay, Peyré & Cuturi 2017, "Learning generative models with Sinkhorn divergences", arXiv:1706.00292 (Eqs. 2 to
    5).

        S(X, Y) = W(X, Y) − ½ W(X, X) − ½ W(Y, Y),   W(X, Y) = min_P <P, C> + ε KL(P ‖ uniform)
        Cᵢⱼ = ‖f(xᵢ) − f(yⱼ)‖²
        generator       minimises   S(X, Y)
        critic          minimises  −S(X, Y), its weights clipped to [−c, c]            only where the cost is learnt

    Symbols: X a batch of data, Y one of fakes, P the transport plan, ε the weight of its entropy, f the critic's
    embedding; without a critic f(x) = x, a game of one player with a loss that falls as in any regression. As ε → 0, S
    tends to optimal transport, as ε → ∞ to a kernel distance between means.

    What to watch: the generator's "divergence" is never below 0 and falls as the batches come to resemble one
    another, not to 0: two batches of one distribution differ too. ε is in squared units of the data (of the
    embedding): far above the squared distance between neighbouring modes it shrinks them towards one another's mean.

    Where we deviate: plans are computed by iterations in the log domain, and the gradient takes the plan as fixed,
    which the envelope theorem allows, instead of running back through the iterations. W keeps the entropy in its
    value (see `objectives/transport.py`), so that this gradient is exact; S is half of the paper's.
    """

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        critic: nn.Module,
        *,
        epsilon: float,
        iterations: int,
        weight_clip: float,
        play: Play,
    ):
        super().__init__(spec, generator, critic, play=play)
        self.learned = any(True for _ in critic.parameters())
        if play.simultaneous and not self.learned:
            raise UsageError("there is one player only: leave out --simultaneous, or give --learned-cost")
        self.epsilon, self.iterations, self.weight_clip = epsilon, iterations, weight_clip

    def game(self) -> list[Phase]:
        """The generator's steps and, where the cost is learnt, the critic's before them."""
        play = self.play
        generator = self.player("generator", self.generator, average=play.average)
        forging = Phase("generator", generator, self.generator_loss, repeats=play.generator_steps)
        if not self.learned:
            return [forging]
        critic = self.player("critic", self.discriminator, rate=play.discriminator_learning_rate, constraint=self.clip)
        return [Phase("critic", critic, self.discriminator_loss, repeats=play.discriminator_steps), forging]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Embed examples so that the divergence grows."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        return {"divergence": -self.divergence(batch[self.field], fake)}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge a batch that is cheaply carried over to the data."""
        return {"divergence": self.divergence(batch[self.field], self.forge(len(batch)))}

    def divergence(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return S between two batches (N, …), a scalar."""
        return sinkhorn_divergence(self.discriminator(real), self.discriminator(fake), self.epsilon, self.iterations)

    def clip(self) -> None:
        """Bring the critic's weights back into their bounds."""
        for weight in self.discriminator.parameters():
            weight.clamp_(-self.weight_clip, self.weight_clip)


@recipe(
    "sinkhorn",
    family="adversarial",
    paper="Genevay et al. 2017, arXiv:1706.00292",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def sinkhorn(
    spec: Spec,
    *,
    epsilon: float = 0.02,
    iterations: int = 20,
    learned_cost: bool = False,
    embedding: int = 64,
    weight_clip: float = 0.1,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3),
) -> SinkhornGAN:
    """The generator brings its batches close to the data's by optimal transport with entropy, without an adversary.

        generator       minimises   W(X, Y) − ½ W(X, X) − ½ W(Y, Y)
        critic          minimises  −(the same), with --learned-cost

    X is a batch of data, Y one of fakes, W the cost of transport with entropy under the squared distance, of the
    examples themselves or of a critic's embeddings.

    Args:
        epsilon: ε, weight of the entropy, in units of the squared distance
        iterations: Sinkhorn's iterations for a plan
        learned_cost: let a critic learn the embedding whose distances count
        embedding: dimensions of the critic's embedding
        weight_clip: bound c on each weight of the critic
    """
    generator, critic = embedding_pair(spec, networks, embedding)
    return SinkhornGAN(
        spec,
        generator,
        critic if learned_cost else nn.Flatten(),
        epsilon=epsilon,
        iterations=iterations,
        weight_clip=weight_clip,
        play=play,
    )
