"""The minimax game as one network with one optimiser, by gradient reversal (Ganin & Lempitsky 2014)."""

from torch import nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.gradient_reversal import reverse_gradient
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import minimax
from kallima.objectives.penalties import zero_centred_penalty
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import TwoPlayerGame
from kallima.systems.adversarial.pair import has_batch_norm, pair
from kallima.systems.adversarial.settings import Networks, Play


class ReversalGAN(TwoPlayerGame):
    """Generator and discriminator as one network, with a layer between them that turns the gradient round.

    Ganin & Lempitsky 2014, "Unsupervised domain adaptation by backpropagation", arXiv:1409.7495, gave the layer; the
    game is that of Goodfellow et al. 2014, arXiv:1406.2661.

        L(θ_D, θ_G) = −E log D(x) − E log(1 − D(R(G(z)))) + (γ/2) E‖∇s(x)‖²
        R(v) = v,  ∂R/∂v = −λ I
        θ_D ← θ_D − η ∂L/∂θ_D,   θ_G ← θ_G + η λ ∂L/∂θ_G      one descent on L

    Symbols: x an example, z the latent, G(z) a fake, D = sigmoid(s) of the score s, R the reversal, λ its strength, η
    the step size. One backward pass gives both gradients of the simultaneous minimax game, for one forward pass of
    the generator and one optimiser. γ is the weight of R1 (Mescheder et al. 2018, arXiv:1801.04406): gradient descent
    on both players at once turns around the equilibrium, and R1, which moves the discriminator alone, lets it arrive.

    What to watch: "real" and "fake" sum to log 4 = 1.386 where the discriminator cannot tell, as in the plain game.
    With fakes far from the data the minimax gradient vanishes and "fake" stays near 0.

    Where we deviate: R1 is added; `--r1 0` is the bare game. λ is a constant, not a schedule. Adam divides by the size
    of gradients, which makes λ nearly idle; under `--optimizer sgd` it is the generator's relative step size.
    """

    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        strength: float,
        r1: float = 0.0,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if play.discriminator_learning_rate is not None:
            raise UsageError(
                "one optimiser has one step size: leave out --discriminator-learning-rate, or give --strength"
            )
        if (play.discriminator_steps, play.generator_steps) != (1, 1):
            raise UsageError("both networks step at once: leave out --discriminator-steps and --generator-steps")
        if r1 and has_batch_norm(discriminator):
            raise UsageError("R1 needs each example judged alone: give --discriminator-norm none, or --r1 0")
        self.strength, self.r1 = strength, r1

    def game(self) -> list[Phase]:
        """One player and one loss."""
        both = self.player("both", self.discriminator, self.generator, average=self.play.average)
        return [Phase("both", both, self.discriminator_loss)]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the batch from as many fakes; for the generator, behind the reversal, every gradient is turned round."""
        real, fake = batch[self.field], reverse_gradient(self.forge(len(batch)), self.strength)
        terms = minimax.discriminator(self.discriminator(real), self.discriminator(fake))
        if self.r1:
            terms["r1"] = self.r1 * zero_centred_penalty(self.discriminator, real)
        return terms

    def generator_loss(self, batch: Batch) -> Terms:
        """The same: there is no other loss in the game."""
        return self.discriminator_loss(batch)


@recipe(
    "gradient-reversal",
    family="adversarial",
    paper="Ganin & Lempitsky 2014, arXiv:1409.7495",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gradient_reversal(
    spec: Spec,
    *,
    strength: float = 1.0,
    r1: float = 0.5,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3),
) -> ReversalGAN:
    """The minimax game as one network and one optimiser, with a layer between both halves that reverses gradients.

        both   minimise  −E log D(x) − E log(1 − D(R(G(z)))) + (γ/2) E‖∇s(x)‖²

    R passes fakes on as they are and multiplies their gradients by −λ on the way back.

    Args:
        strength: λ, of the reversal
        r1: γ, weight of the R1 penalty on the discriminator; 0 for none
    """
    generator, discriminator = pair(spec, networks)
    return ReversalGAN(spec, generator, discriminator, strength=strength, r1=r1, play=play)
