"""OT-GAN (Salimans et al. 2018): optimal transport between minibatches, in a space that a critic learns."""

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.transport import minibatch_energy_distance
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.adversarial.embedding import embedding_pair
from kallima.systems.adversarial.game import TwoPlayerGame
from kallima.systems.adversarial.settings import Networks, Play


class OTGAN(TwoPlayerGame):
    """The generator brings minibatches nearer to the data's, by a distance between embeddings that a critic sharpens.

    Salimans et al. 2018, "Improving GANs using optimal transport", arXiv:1803.05573 (Eq. 7, algorithm 1).

        L = W(X, Y) + W(X, Y′) + W(X′, Y) + W(X′, Y′) − 2 W(X, X′) − 2 W(Y, Y′)
        W(X, Y) = min_P <P, C>,  Cᵢⱼ = 1 − cos(v(xᵢ), v(yⱼ))        P by Sinkhorn's iterations
        generator       minimises   L
        critic          minimises  −L

    Symbols: X, X′ two independent minibatches of data, Y, Y′ two of fakes, v(x) the critic's embedding of an example, C
    the costs, P the transport plan between two batches, softened by an entropy of weight ε, through which no gradient
    is taken. L is the square of a distance between distributions, the minibatch energy distance, and its gradient
    is unbiased, unlike that of W(X, Y) alone; so the generator learns even where the critic stands still.

    What to watch: the generator's loss is L itself and falls to 0 as the fakes' distribution becomes the data's; noise
    around 0 is as it should be. It is estimated on half batches: large ones help more than here than in other games.

    Where we deviate: the critic's embedding is a linear layer on the library's discriminator body, not concatenated
    ReLUs. Batches are hundreds, not 8,000. The paper's three generator steps to one of the critic are kept.
    """

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        critic: nn.Module,
        *,
        epsilon: float,
        iterations: int,
        play: Play,
    ):
        super().__init__(spec, generator, critic, play=play)
        self.epsilon, self.iterations = epsilon, iterations

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Embed examples so that the distance grows."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        return {"distance": -self.distance(batch[self.field], fake)}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge what lies near, as a batch, to the data."""
        return {"distance": self.distance(batch[self.field], self.forge(len(batch)))}

    def distance(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return L between the halves of both batches (N, …), N even; a scalar."""
        x, x_again = self.discriminator(real).chunk(2)
        y, y_again = self.discriminator(fake).chunk(2)
        return minibatch_energy_distance(x, x_again, y, y_again, self.epsilon, self.iterations)


@recipe(
    "ot-gan",
    family="adversarial",
    paper="Salimans et al. 2018, arXiv:1803.05573",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def ot_gan(
    spec: Spec,
    *,
    embedding: int = 64,
    epsilon: float = 0.02,
    iterations: int = 20,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3, discriminator_learning_rate=2e-4, generator_steps=3),
) -> OTGAN:
    """Optimal transport between minibatches of data and of fakes, in the embedding of a critic.

        generator       minimises   W(X, Y) + W(X, Y′) + W(X′, Y) + W(X′, Y′) − 2 W(X, X′) − 2 W(Y, Y′)
        critic          minimises  −(the same)

    X, X′ are the halves of a batch of data, Y, Y′ those of a batch of fakes, W is the cost of transport between two of
    them under the cosine distance of embeddings. The generator takes three steps to one of the critic.

    Args:
        embedding: dimensions of the critic's embedding
        epsilon: ε, weight of the entropy that softens transport plans, in units of the cosine distance
        iterations: Sinkhorn's iterations for a plan
    """
    generator, critic = embedding_pair(spec, networks, embedding)
    return OTGAN(spec, generator, critic, epsilon=epsilon, iterations=iterations, play=play)
