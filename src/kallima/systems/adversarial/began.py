"""BEGAN (Berthelot et al. 2017): an autoencoder against a generator, in an equilibrium held by a controller."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.autoencoder import Autoencoder
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.autoencoding import autoencoding_pair
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Networks, Play


class Balance(nn.Module):
    """The controller of the equilibrium: k, the weight that the discriminator gives to fakes; it starts at 0."""

    k: Tensor

    def __init__(self, gamma: float, gain: float):
        super().__init__()
        self.gamma, self.gain = gamma, gain
        self.register_buffer("k", torch.zeros(()))

    def update(self, notes: Mapping[str, Tensor]) -> None:
        """k ← clip(k + λ (γ L(x) − L(G(z))), 0, 1), of the notes "real_error" and "fake_error"."""
        self.k.add_(self.gain * (self.gamma * notes["real_error"] - notes["fake_error"])).clamp_(0, 1)


class BEGAN(TwoPlayerGame):
    """An autoencoder and a generator whose errors of rebuilding are held in a fixed ratio γ.

    Berthelot et al. 2017, "BEGAN: boundary equilibrium generative adversarial networks", arXiv:1703.10717 (section
    3.4).

        discriminator   minimises  L(x) − k L(G(z)),   L(v) = mean |v − Dec(Enc(v))|
        generator       minimises  L(G(z))
        after each step            k ← clip(k + λ (γ L(x) − L(G(z))), 0, 1)

    Symbols: x an example, z the latent, G(z) a fake, L the error of rebuilding, k in [0, 1] the weight of fakes, which
    takes no gradient, λ its gain, γ = E L(G(z)) / E L(x) the ratio wanted, the diversity ratio: the lower it is, the
    more the autoencoder keeps to rebuilding the data, the better and the less various the samples.

    What to watch: the note "convergence", M = L(x) + |γ L(x) − L(G(z))|, falls as training goes well; it is the
    paper's global measure, and comparable between runs of one kind of data. "k" should settle inside (0, 1): at 1 the
    generator is too weak for the ratio, at 0 too strong. "fake_error" over "real_error" should settle at γ.

    Nothing in the losses asks for variety, only the autoencoder's narrowness does. So on points in the plane, which
    any code can hold, the generator keeps to one mode; on images it needs γ near 1 where there are few steps.

    Where we deviate: k follows the fakes that the discriminator's step has just seen, where the paper takes those of
    the generator's step, from the same generator. The generator is this library's, not a twin of the decoder, and
    latents are normal, not uniform. Images that are rebuilt end in tanh. λ is 0.1, not the paper's 0.001, for trainings
    that are as much shorter.
    """

    discriminator: Autoencoder

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Autoencoder,
        *,
        gamma: float,
        gain: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if not 0 < gamma <= 1:
            raise UsageError(
                f"--gamma is the ratio of the fakes' error to the data's: above 0, at most 1, not {gamma:g}"
            )
        self.balance = Balance(gamma, gain)

    def game(self) -> list[Phase]:
        """The autoencoder's steps, after each of which the balance is held, then the generator's."""
        play = self.play
        discriminator = self.player(
            "discriminator", self.discriminator, self.balance, rate=play.discriminator_learning_rate
        )
        generator = self.player("generator", self.generator, average=play.average)
        steps, held = play.discriminator_steps, self.balance.update
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=steps, after=held),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Rebuild the batch well and, as far as k says, fakes badly."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        of_real, of_fake = self.error(batch[self.field]), self.error(fake)
        convergence = of_real + (self.balance.gamma * of_real - of_fake).abs()
        notes = {"real_error": of_real, "fake_error": of_fake, "k": self.balance.k, "convergence": convergence}
        return {"real": of_real, "fake": -self.balance.k * of_fake}, notes

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge what is rebuilt well."""
        return {"adversarial": self.error(self.forge(len(batch)))}

    def error(self, example: Tensor) -> Tensor:
        """L: the mean absolute error of rebuilding, over dimensions and examples (N, …); a scalar."""
        return (example - self.discriminator(example)).abs().mean()


@recipe(
    "began",
    family="adversarial",
    paper="Berthelot et al. 2017, arXiv:1703.10717",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def began(
    spec: Spec,
    *,
    gamma: float = 0.75,
    gain: float = 0.1,
    codes: int = 16,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
) -> BEGAN:
    """An autoencoder discriminator, with a controller that keeps it and the generator in balance.

        discriminator   minimises  L(x) − k L(G(z)),  L the absolute error of rebuilding
        generator       minimises  L(G(z))
        after each step            k ← clip(k + λ (γ L(x) − L(G(z))), 0, 1)

    `--gamma` trades diversity (1) for quality (0).

    Args:
        gamma: γ, the ratio of the fakes' error to the data's that is held
        gain: λ, how fast k follows
        codes: dimensions of the autoencoder's code
    """
    return BEGAN(spec, *autoencoding_pair(spec, networks, codes), gamma=gamma, gain=gain, play=play)
