"""Labels as what a generator makes of an image (Tsai & Lee 2018): a classifier against one who knows label sets."""

import torch
from torch import Tensor

from kallima.data.portion import Portion
from kallima.data.spec import Attributes, Image, Spec
from kallima.errors import UsageError
from kallima.networks.classifier import LabelDiscriminator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase
from kallima.systems.adversarial.game import Turn
from kallima.systems.descent import Descent, player
from kallima.systems.tagging.settings import Sight
from kallima.systems.tagging.tagger import Tagger, correctness, cross_entropy


class LabelGAN(Tagger):
    """A classifier whose answers, all labels together, have to pass for the labels of that image.

    Tsai & Lee 2018, "Adversarial learning of label dependency: a novel framework for multi-class classification",
    arXiv:1811.04689.

        G(x)_k = sigmoid(l_k(x)),     ỹ = y + (1 − 2y) u,   u_k uniform in [0, s]
        discriminator   minimises  −E log D(x, ỹ) − E log(1 − D(x, G(x)))
        classifier      minimises  −E Σ_k log p(y_k | x) − λ E log D(x, G(x)),     p(y_k = 1 | x) = G(x)_k

    Symbols: (x, y) an image with its labels, G the classifier, which is a conditional generator without noise, D the
    probability that labels are those of the image, s the softening, λ what passing is worth against being right. A
    label's own probability is all that cross-entropy asks for; the adversary sees all of them side by side, and so asks
    for answers that a labelled image could have: as many labels as there are, and such as go together.

    What real labels must not tell is that they are exactly 0 or 1: from that alone any answer is told, whatever it
    says. So an absent label is shown as a number from 0 to s, a present one as one from 1 − s to 1; at s = ½, the
    default, nothing is left of real labels but their side of ½, which is what a decision at ½ reads.

    What to watch: the note "accuracy" is how often real labels score above answers, ½ where the adversary cannot tell;
    "classification" is in nats an image. Answers are no probabilities any more: they are drawn away from "rather not"
    to where a set of labels lies, and from 0 and 1. Too large a λ costs what the classifier knew (docs/labels.md).
    `label-classifier` is the same without the adversary: compare `micro-f1` and `macro-f1` by `kallima evaluate`.

    Where we deviate: the objective is the non-saturating one, with softening. D does not look at the image by a network
    of its own but at the classifier's features, which get no gradient from it, and at batches of its own, so that the
    classifier sees those of the baseline. Backbones are small and learn from nothing, not from ImageNet.
    """

    def __init__(
        self,
        spec: Spec,
        sight: Sight,
        *,
        adversarial_weight: float,
        softening: float,
        discriminator_width: int,
        discriminator_learning_rate: float,
        descent: Descent,
    ):
        super().__init__(spec, sight)
        if adversarial_weight <= 0:
            raise UsageError(
                f"--adversarial-weight is above 0, not {adversarial_weight:g}: without the adversary there is "
                "label-classifier"
            )
        if not 0 <= softening <= 0.5:
            raise UsageError(f"--softening is from 0 to 0.5, where real labels keep their side, not {softening:g}")
        field = spec["attributes"]
        assert isinstance(field, Attributes)
        seen = self.classifier.head[0].in_features
        assert isinstance(seen, int)
        self.discriminator = LabelDiscriminator(seen, len(field.names), width=discriminator_width)
        self.weight, self.softening = adversarial_weight, softening
        self.streams = {"data": Portion(), "judged": Portion()}
        self.descent, self.discriminator_learning_rate = descent, discriminator_learning_rate

    def game(self) -> list[Phase]:
        """The classifier's step, then the discriminator's."""
        own = Descent(
            learning_rate=self.discriminator_learning_rate,
            beta1=self.descent.beta1,
            beta2=self.descent.beta2,
            schedule=self.descent.schedule,
            clip=self.descent.clip,
        )
        judge = player("discriminator", self.discriminator, descent=own)
        # first, and with a stream to itself: so it sees the very batches, and noise, that the baseline does
        return [
            Phase("classifier", player("classifier", self.classifier, descent=self.descent), self.classifier_loss),
            Phase("discriminator", judge, self.discriminator_loss, reads=("judged",)),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the labels of the batch's images from what the classifier answers."""
        with torch.no_grad():
            seen, logits = self.classifier(batch["image"])
        real = self.discriminator(seen, softened(batch["attributes"], self.softening))
        fake = self.discriminator(seen, logits.sigmoid())
        terms = dict(non_saturating.discriminator(real, fake))
        return terms, {"accuracy": (real > fake).to(torch.float32).mean()}

    def classifier_loss(self, batch: Batch) -> Turn:
        """Know each label of the batch's images, with answers that pass for labels."""
        seen, logits = self.classifier(batch["image"])
        passing = non_saturating.generator(None, self.discriminator(seen.detach(), logits.sigmoid()))
        terms = {"classification": cross_entropy(logits, batch)}
        terms |= {name: self.weight * term for name, term in passing.items()}
        return terms, {"label_accuracy": correctness(logits, batch)}


def softened(labels: Tensor, most: float) -> Tensor:
    """Return labels of 0 and 1 drawn towards each other by up to `most`, uniformly, each by itself."""
    return labels + (1 - 2 * labels) * most * torch.rand_like(labels)


@recipe(
    "label-gan",
    family="tagging",
    paper="Tsai & Lee 2018, arXiv:1811.04689",
    needs={"image": Image, "attributes": Attributes},
    steps=2_000,
    batch_size=64,
)
def label_gan(
    spec: Spec,
    *,
    adversarial_weight: float = 1.0,
    softening: float = 0.5,
    discriminator_width: int = 128,
    discriminator_learning_rate: float = 1e-3,
    sight: Sight = Sight(),
    descent: Descent = Descent(learning_rate=5e-3, beta1=0.5, beta2=0.99, schedule="cosine", average=0.99),
) -> LabelGAN:
    """A classifier of images that have several labels at once, against one who knows which labels go together.

        discriminator   minimises  −E log D(x, ỹ) − E log(1 − D(x, G(x)))
        classifier      minimises  −E Σ_k log p(y_k | x) − λ E log D(x, G(x))

    `kallima label RUN IMAGES` tells the labels of new images.

    Args:
        adversarial_weight: λ, what answers that pass for labels are worth against right ones
        softening: s, how far real labels are drawn from 0 and 1 before the discriminator sees them
        discriminator_width: units of the discriminator's layers
        discriminator_learning_rate: step size of the discriminator
    """
    return LabelGAN(
        spec,
        sight,
        adversarial_weight=adversarial_weight,
        softening=softening,
        discriminator_width=discriminator_width,
        discriminator_learning_rate=discriminator_learning_rate,
        descent=descent,
    )
