"""Gang of GANs (Juefei-Xu et al. 2017): stages, each of which has to beat the generator of the one before."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import linear_generator
from kallima.objectives.margins import margin_loss, ranking_loss
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import TwoPlayerGame
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play


class GoGAN(TwoPlayerGame):
    """A game in stages: the critic ranks the data above the fakes, and those above the fakes of the stage before.

    Juefei-Xu et al. 2017, "Gang of GANs: generative adversarial networks with maximum margin ranking",
    arXiv:1704.04865.

        critic          minimises  E [ε − s(x) + s(Gᵢ(z))]₊ + E [2ε − s(x) + s(Gᵢ₋₁(z))]₊
        generator       minimises  −E s(Gᵢ(z))

    Symbols: x an example, z the latent, Gᵢ the generator of stage i, Gᵢ₋₁ that of the stage before, which stands
    still, s the critic's score, its weights clipped to [−c, c], ε the margin. The first stage has no second term: it
    is WGAN, but for the hinge, which spends nothing on pairs that are already told apart. With both margins met the
    fakes of stage i score at most half as far below the data as those of stage i − 1: the paper's argument that each
    stage at least halves the gap.

    Stages take equal shares of the training. At the end of each the generator's weights are copied into the frozen
    `previous`, and both players go on from where they are.

    What to watch: "margin" is ε where the critic cannot tell, 0 where it tells every pair; "ranking" joins it from the
    second stage on and falls as the new fakes leave the old ones behind. The note "stage" counts from 0. A margin
    that is too small is soon met, and then the critic stands still while the generator walks on.

    Where we deviate: the paper weighs the two terms, here they weigh the same. The critic ranks the fakes of both
    stages from the same latents. Clipped weights are the paper's, inherited from WGAN, with its own bound here.
    """

    discriminator: Discriminator
    stage: Tensor

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        *,
        stages: int,
        margin: float,
        weight_clip: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if stages < 1:
            raise UsageError(f"--stages counts from 1, not {stages}")
        if any(hasattr(part, "parametrizations") for part in discriminator.modules()):
            raise UsageError("clipped weights would undo spectral normalisation: give --discriminator mlp or dcgan")
        self.stages, self.margin, self.weight_clip = stages, margin, weight_clip
        self.previous = copy.deepcopy(generator)
        self.frozen = (self.previous,)
        self.register_buffer("stage", torch.zeros(()))

    def game(self) -> list[Phase]:
        """The critic's steps, after which a stage may end, then the generator's."""
        play = self.play
        discriminator = self.player(
            "discriminator", self.discriminator, rate=play.discriminator_learning_rate, constraint=self.clip
        )
        generator = self.player("generator", self.generator, average=play.average)
        steps = play.discriminator_steps
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=steps, after=self.next_stage),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """Rank the batch above the fakes of this stage and, past the first, further above those of the one before."""
        latent = self.prior.draw(len(batch), self.device)
        with torch.no_grad():
            fake, former = self.generator(latent), self.previous(latent)
        real_scores = self.discriminator(batch[self.field])
        ranking = ranking_loss(real_scores, self.discriminator(former), self.margin)
        terms = {
            "margin": margin_loss(real_scores, self.discriminator(fake), self.margin),
            "ranking": self.stage.clamp_max(1) * ranking,
        }
        return terms, {"stage": self.stage}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge what scores high."""
        return linear_generator(None, self.discriminator(self.forge(len(batch))))

    def next_stage(self, _: Mapping[str, Tensor]) -> None:
        """Where training has come to a new stage, keep the generator as it is now for the critic to rank."""
        now = (self.progress * self.stages).floor()
        begins = now > self.stage  # on the device: nothing waits for it
        for kept, current in zip(
            self.previous.state_dict().values(), self.generator.state_dict().values(), strict=True
        ):
            kept.copy_(torch.where(begins, current, kept))
        self.stage.copy_(torch.maximum(now, self.stage))

    def clip(self) -> None:
        """Bring the critic's weights back into their bounds."""
        for weight in self.discriminator.parameters():
            weight.clamp_(-self.weight_clip, self.weight_clip)


@recipe(
    "gogan",
    family="adversarial",
    paper="Juefei-Xu et al. 2017, arXiv:1704.04865",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gogan(
    spec: Spec,
    *,
    stages: int = 2,
    margin: float = 4.0,
    weight_clip: float = 0.1,
    networks: Networks = Networks(discriminator_norm="none"),
    play: Play = Play(learning_rate=1e-3, optimizer="rmsprop", discriminator_steps=5),
) -> GoGAN:
    """A WGAN with margins, in stages: the critic ranks data above fakes, and further above those of the stage before.

        critic          minimises  E [ε − s(x) + s(Gᵢ(z))]₊ + E [2ε − s(x) + s(Gᵢ₋₁(z))]₊,  weights clipped to [−c, c]
        generator       minimises  −E s(Gᵢ(z))

    Stages take equal shares of the training.

    Args:
        stages: how many; 1 is a WGAN with a margin
        margin: ε, by which real examples are to score higher than fakes
        weight_clip: bound c on each weight of the critic
    """
    generator, discriminator = pair(spec, networks)
    return GoGAN(spec, generator, discriminator, stages=stages, margin=margin, weight_clip=weight_clip, play=play)
