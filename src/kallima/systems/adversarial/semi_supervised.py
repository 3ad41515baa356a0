"""Semi-supervised learning in a game (Salimans et al. 2016): few labels, many images, one class more for fakes."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.portion import Portion
from kallima.data.spec import Image, Label, Points, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.class_discriminator import ClassDiscriminator, NormalisedGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.objectives.feature_matching import feature_matching
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import data_field
from kallima.systems.adversarial.settings import Play


class SemiSupervisedGAN(TwoPlayerGame):
    """A classifier that learns from few labels, and from telling many examples without labels from forged ones.

    Salimans et al. 2016, "Improved techniques for training GANs", arXiv:1606.03498 (section 5, networks of 6.1).

        p(y = k | x) = e^{l_k} / (Z + 1),   p(fake | x) = 1 / (Z + 1),   Z = ∑_k e^{l_k}
        D(x) = Z / (Z + 1) = sigmoid(log Z),     p(y = k | x, real) = e^{l_k} / Z

        discriminator   minimises  −E log p(y | x, real)  − λ (E log D(x) + E log(1 − D(G(z))))
        generator       minimises  ‖E f(x) − E f(G(z))‖²
        baseline        minimises  −E log p(y | x, real)

    Symbols: l the K logits of the one network that classifies and discriminates, (x, y) an example and its label, x
    alone one whose label is not read, G(z) a fake, z ~ N(0, I), f the features before the last layer. Of K + 1 classes
    one logit can be fixed: that of the fakes is 0. All is computed by logsumexp. The classifier has to find what sets
    examples of any class apart from fakes that have the same features on average, which puts its boundaries where there
    are no examples.

    The baseline is the same network from the same first weights, which sees the same labelled examples for as many
    steps and nothing else: `kallima evaluate` gives both errors, and what the images without labels are worth is the
    difference. Labels of the other examples are never read.

    What to watch: "classification" falls to near 0 at once. "real" and "fake" are to stay well above 0: where the
    fakes are too easily told, they teach nothing. Samples are means to an end and need not be good.

    Where we deviate: λ = ½, as in the authors' code; in the paper it is 1. The scales of hidden layers are √2
    for good; the authors set them from the first batch. Pixels lie in [−1, 1] and z is normal. Error and samples are
    those of moving averages of the weights, also for the baseline.
    """

    discriminator: ClassDiscriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: ClassDiscriminator,
        *,
        labelled: int,
        labelled_batch_size: int,
        unlabelled_weight: float,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        if min(labelled, labelled_batch_size) < 1:
            raise UsageError(
                "--labelled and --labelled-batch-size count from 1: without labels there is feature-matching"
            )
        self.baseline = deepcopy(discriminator)
        self.unlabelled_weight = unlabelled_weight
        few = Portion(few=labelled, batch_size=min(labelled, labelled_batch_size))
        self.streams = {"data": Portion(), "labelled": few}

    def game(self) -> list[Phase]:
        """The discriminator's steps, the generator's, and as many of the baseline as of the discriminator."""
        play, both = self.play, ("data", "labelled")
        rate, steps = play.discriminator_learning_rate, play.discriminator_steps
        discriminator = self.player("discriminator", self.discriminator, rate=rate, average=play.average)
        generator = self.player("generator", self.generator, average=play.average)
        baseline = self.player("baseline", self.baseline, rate=rate, average=play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, reads=both, repeats=steps),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
            Phase("baseline", baseline, self.baseline_loss, reads=("labelled",), repeats=steps),
        ]

    def discriminator_loss(self, batch: Batch, labelled: Batch) -> Turn:  # type: ignore[override]  # a stream more
        """Know the classes of the labelled, and tell the batch from as many fakes."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        seen = torch.cat([labelled[self.field], batch[self.field], fake])
        known, unknown = self.discriminator.logits(seen).tensor_split([len(labelled)])
        real, forged = unknown.logsumexp(1).chunk(2)
        terms = {
            name: self.unlabelled_weight * term for name, term in non_saturating.discriminator(real, forged).items()
        }
        accuracy = (real > forged).to(torch.float32).mean()
        return {"classification": F.cross_entropy(known, labelled["label"])} | terms, {"accuracy": accuracy}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge as many examples as the batch has, whose features are the same on average."""
        with torch.no_grad():
            real = self.discriminator.features(batch[self.field])
        return dict(feature_matching.generator(real, self.discriminator.features(self.forge(len(batch)))))

    def baseline_loss(self, labelled: Batch) -> Terms:
        """Know the classes of the labelled."""
        return {"classification": F.cross_entropy(self.baseline.logits(labelled[self.field]), labelled["label"])}

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for examples (N, …): (N, K)."""
        return self.discriminator.classify(examples)

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return the score log Z of each of the examples (N, …): (N,)."""
        with evaluating(self):
            return self.discriminator(examples)


@recipe(
    "semi-supervised",
    family="adversarial",
    paper="Salimans et al. 2016, arXiv:1606.03498",
    needs=({"image": Image, "label": Label}, {"points": Points, "label": Label}),
    steps=18_000,
    batch_size=100,
)
def semi_supervised(
    spec: Spec,
    *,
    labelled: int = 100,
    labelled_batch_size: int = 100,
    unlabelled_weight: float = 0.5,
    width: int = 1000,
    latent_dim: int = 100,
    play: Play = Play(learning_rate=3e-3, schedule="cosine"),
) -> SemiSupervisedGAN:
    """A classifier that learns from few labels and many examples without, which it has to tell from forged ones.

        discriminator   minimises  −E log p(y | x, real)  − λ (E log D(x) + E log(1 − D(G(z)))),     D = Z / (Z + 1)
        generator       minimises  ‖E f(x) − E f(G(z))‖²

    `kallima evaluate` gives its error beside that of the same network with the labels alone. Dense networks, for points
    and small images.

    Args:
        labelled: how many examples have their label read, the same number of each class
        labelled_batch_size: labelled examples a step
        unlabelled_weight: λ, what telling real from fake is worth against knowing the labels
        width: units of the classifier's first layer; the others have a half and a quarter, the generator's a half
        latent_dim: dimensions of the latent z
    """
    field, label = spec[data_field(spec)], spec["label"]
    assert isinstance(field, (Points, Image))
    assert isinstance(label, Label)
    return SemiSupervisedGAN(
        spec,
        NormalisedGenerator(latent_dim, field.shape, width=max(width // 2, 2)),
        ClassDiscriminator(field.shape, len(label.classes), width=width),
        labelled=labelled,
        labelled_batch_size=labelled_batch_size,
        unlabelled_weight=unlabelled_weight,
        play=play,
    )
