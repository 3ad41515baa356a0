"""Auxiliary classifier GAN (Odena et al. 2017): the discriminator also says of which class an example is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Image, Label, Points, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.branched import BranchedDiscriminator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import build_discriminator, build_generator
from kallima.systems.adversarial.settings import Networks, Play


class ACGAN(TwoPlayerGame):
    """A generator that is told a class, against a discriminator that is not, and has to say which it is.

    Odena, Olah & Shlens 2017, "Conditional image synthesis with auxiliary classifier GANs", arXiv:1610.09585.

        L_S = E log D(x) + E log(1 − D(G(z, c)))              is it real (Eq. 2)
        L_C = E log Q(c | x) + E log Q(c | G(z, c))           which class is it (Eq. 3)
        discriminator   minimises  −L_S − λ L_C
        generator       minimises  −E log D(G(z, c)) − λ E log Q(c | G(z, c))

    Symbols: (x, c) a real example and its class, G(z, c) a fake of class c, z ~ N(0, I), D = sigmoid(s) the probability
    that an example is real, Q(· | x) that of each class, a softmax. s and Q are two heads on the features of one
    network. Both players want Q to be right about the fakes, so a fake is driven to look like its class; the paper's λ
    is 1. The classes of fakes are those of the batch.

    What to watch: "fake_class" and the generator's "class" fall to near 0 within some hundred steps. Examples that Q is
    sure of are easier to make than all those that the data has: where a class looks ever the same, lower λ
    (Shu et al. 2017; Gong et al. 2019, arXiv:1907.02690), or take `cgan` or `projection-gan`.

    Where we deviate: the generator minimises −E log D, not E log(1 − D), as everyone's does; besides being given c it
    has its batch normalisation scaled and shifted by it; latents are normal, networks those of DCGAN, without the
    paper's dropout.
    """

    discriminator: BranchedDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: BranchedDiscriminator,
        *,
        conditions: Conditions,
        class_weight: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play, conditions=conditions)
        if class_weight <= 0:
            raise UsageError(f"--class-weight is above 0, not {class_weight:g}: without classes there is dcgan")
        self.class_weight = class_weight

    def game(self) -> list[Phase]:
        """The discriminator's steps, after which the classes of its batch are remembered, then the generator's."""
        play = self.play
        rate = play.discriminator_learning_rate
        discriminator = self.player("discriminator", self.discriminator, self.conditions, rate=rate)
        generator = self.player("generator", self.generator, average=play.average)
        return [
            Phase(
                "discriminator",
                discriminator,
                self.discriminator_loss,
                repeats=play.discriminator_steps,
                after=self.learn,
            ),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the batch from fakes of its classes, and the classes of both."""
        condition, label = self.conditions.vectors(batch), batch["label"]
        with torch.no_grad():
            fake = self.forge(len(batch), condition)
        real_scores, real_classes = self.discriminator.both(batch[self.field])
        fake_scores, fake_classes = self.discriminator.both(fake)
        terms = dict(non_saturating.discriminator(real_scores, fake_scores))
        terms["real_class"] = self.class_weight * F.cross_entropy(real_classes, label)
        terms["fake_class"] = self.class_weight * F.cross_entropy(fake_classes, label)
        right = (real_classes.argmax(1) == label).to(torch.float32).mean()
        accuracy = (real_scores > fake_scores).to(torch.float32).mean()
        return terms, {"condition": condition, "accuracy": accuracy, "class_accuracy": right}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge examples of the batch's classes, that pass for real and for their class."""
        scores, classes = self.discriminator.both(self.forge(len(batch), self.conditions.vectors(batch)))
        terms = dict(non_saturating.generator(None, scores))
        return terms | {"class": self.class_weight * F.cross_entropy(classes, batch["label"])}

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for examples (N, …): (N, K)."""
        with evaluating(self):
            return self.discriminator.told(examples).log_softmax(1)

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return the score of each of the examples (N, …): (N,)."""
        with evaluating(self):
            return self.discriminator(examples)


@recipe(
    "acgan",
    family="adversarial",
    paper="Odena et al. 2017, arXiv:1610.09585",
    needs=({"image": Image, "label": Label}, {"points": Points, "label": Label}),
    steps=6_000,
    batch_size=64,
)
def acgan(
    spec: Spec,
    *,
    class_weight: float = 1.0,
    networks: Networks = Networks(width=32, latent_dim=64),
    play: Play = Play(learning_rate=5e-4, discriminator_learning_rate=2e-4, schedule="cosine"),
) -> ACGAN:
    """A conditional game whose discriminator is not told the class, but has to say it.

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z, c))) − λ E log Q(c | x) − λ E log Q(c | G(z, c))
        generator       minimises  −E log D(G(z, c)) − λ E log Q(c | G(z, c))

    It samples what it is asked for, `--condition label=7`, and classifies real examples.

    Args:
        class_weight: λ, what naming the class is worth against telling real from fake
    """
    conditions = Conditions(spec, ("label",))
    discriminator = build_discriminator(spec, networks)
    assert isinstance(discriminator.head, nn.Linear)
    branch = nn.Linear(discriminator.head.in_features, conditions.size)
    return ACGAN(
        spec,
        build_generator(spec, networks, condition_size=conditions.size),
        BranchedDiscriminator(discriminator, branch),
        conditions=conditions,
        class_weight=class_weight,
        play=play,
    )
