"""A classifier of several labels, each told by itself: what every other one is to be held against."""

from kallima.data.spec import Attributes, Image, Spec
from kallima.recipe import recipe
from kallima.system import Batch, Phase
from kallima.systems.adversarial.game import Turn
from kallima.systems.descent import Descent, player
from kallima.systems.tagging.settings import Sight
from kallima.systems.tagging.tagger import Tagger, correctness, cross_entropy


class LabelClassifier(Tagger):
    """A network that says of each label whether an image has it.

    The baseline of Tsai & Lee 2018, "Adversarial learning of label dependency: a novel framework for multi-class
    classification", arXiv:1811.04689; the logistic loss is older than any of its networks.

        p(y_k = 1 | x) = sigmoid(l_k(x))
        classifier   minimises  −E Σ_k log p(y_k | x)

    Symbols: x an image, y_k in {0, 1} its label k, l_k a logit. All labels share one network, and the layer before the
    logits, but given the image each is told by itself. So the best it can do is each label's own probability; where it
    is unsure of several, what it finds above ½ need not be a set of labels that any image has. `label-gan` is the same
    classifier with an adversary that has seen which labels go together.

    What to watch: "classification" in nats an image, and the note "label_accuracy", the share of single decisions that
    are right in training; where most labels are absent that is high from the start, and F1 says more: `kallima
    evaluate` gives `micro-f1` and `macro-f1`.
    """

    def __init__(self, spec: Spec, sight: Sight, *, descent: Descent):
        super().__init__(spec, sight)
        self.descent = descent

    def game(self) -> list[Phase]:
        """One player."""
        return [Phase("classifier", player("classifier", self.classifier, descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> Turn:
        """Know each label of the batch's images."""
        logits = self.classifier(batch["image"])[1]
        return {"classification": cross_entropy(logits, batch)}, {"label_accuracy": correctness(logits, batch)}


@recipe(
    "label-classifier",
    family="tagging",
    paper="Tsai & Lee 2018, arXiv:1811.04689 (its baseline)",
    needs={"image": Image, "attributes": Attributes},
    steps=2_000,
    batch_size=64,
)
def label_classifier(
    spec: Spec,
    *,
    sight: Sight = Sight(),
    descent: Descent = Descent(learning_rate=5e-3, beta1=0.5, beta2=0.99, schedule="cosine", average=0.99),
) -> LabelClassifier:
    """A classifier of images that have several labels at once, each told by itself.

    classifier   minimises  −E Σ_k log p(y_k | x)

    `kallima label RUN IMAGES` tells the labels of new images.
    """
    return LabelClassifier(spec, sight, descent=descent)
