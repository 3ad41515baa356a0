"""Semi-supervised learning with a variational autoencoder (Kingma et al. 2014, model M2): a class and a style."""

from collections.abc import Mapping
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.portion import Portion
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.classes import ClassVAE
from kallima.systems.autoencoders.settings import Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.descent import Descent, player


class Baseline(nn.Module):
    """The classifier alone, which sees the labelled images and nothing else."""

    def __init__(self, sorter: nn.Module):
        super().__init__()
        self.sorter = sorter

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W): (N, K)."""
        with evaluating(self):
            return self.sorter(examples).log_softmax(1)


class M2(ClassVAE):
    """An image is drawn from a class and a style; where the class is not known, all of them are tried.

    Kingma, Rezende, Mohamed & Welling 2014, "Semi-supervised learning with deep generative models", arXiv:1406.5298.

        labelled      −L(x, y) = −log p(x | z, y) + KL(q(z | x, y) ‖ N(0, I)) + log K                          (Eq. 6)
        unlabelled    U(x) = Σ_y q(y | x) (−L(x, y)) − H(q(y | x))                                             (Eq. 7)
        minimised     E_unlabelled U(x) + E_labelled [−L(x, y) − α log q(y | x)]                                (Eq. 9)
        baseline      E_labelled −log q'(y | x)

    Symbols: x an image, y its class, z its style, q(y | x) the classifier, q(z | x, y) = N(μ, diag σ²), K the number of
    classes, α `classification`. The entropy enters U with a minus: a classifier that is unsure pays less. The
    baseline q' is the same classifier with the same first weights, trained on the labelled images alone:
    `kallima evaluate RUN --split test` gives both errors, and what images without labels are worth is the difference.

    Each expectation is a mean over its own batch. Pixels are drawn black or white by their brightness; the classifiers
    see the same binarised images.

    Where we deviate: α is a free weight, where the paper has 0.1 N, since our terms are means and not sums. The class
    is summed over, as in the paper, at K times the work of a `vae` step.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        classes: int,
        *,
        labelled: int,
        classification: float,
        descent: Descent,
    ):
        super().__init__(spec, networks, likelihood, classes, told=True, descent=descent)
        self.classification = classification
        self.conditions = Conditions(spec, ("label",))
        self.parts = {"z": self.parts["z"], "label": self.parts["category"]}  # what it is told is not found
        self.baseline = Baseline(deepcopy(self.sorter))
        few = Portion(few=labelled, batch_size=min(labelled, 100))
        self.streams = {"data": Portion(), "labelled": few}

    def game(self) -> list[Phase]:
        """The model, and the baseline beside it."""
        model = player("model", self.sorter, self.encoder, self.decoder, descent=self.descent)
        baseline = player("baseline", self.baseline, descent=self.descent)
        return [
            Phase("model", model, self.loss, reads=("data", "labelled")),
            Phase("baseline", baseline, self.baseline_loss, reads=("labelled",)),
        ]

    def loss(self, batch: Batch, labelled: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The free energy of images without labels, and the energy of those with."""
        terms, log_q = self.free_energy(self.likelihood.target(batch["image"]))
        images = self.likelihood.target(labelled["image"])
        category = F.one_hot(labelled["label"], self.classes).to(images)
        error, cost = self.energy(images, category)
        known = self.sorter(images).log_softmax(1)
        terms |= {
            "labelled": (error + cost).mean() + torch.log(torch.tensor(float(self.classes))),
            "classification": self.classification * F.nll_loss(known, labelled["label"]),
        }
        frequency = log_q.exp().mean(0)
        return terms, {"used": -(frequency * frequency.clamp_min(1e-9).log()).sum()}

    def baseline_loss(self, labelled: Batch) -> Terms:
        """Know the classes of the labelled images."""
        images = self.likelihood.target(labelled["image"])
        return {"classification": F.cross_entropy(self.baseline.sorter(images), labelled["label"])}

    def prior_moments(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return 0 and 0 (N, d): one prior for all classes."""
        zero = category.new_zeros(len(category), self.latent_dim)
        return zero, zero

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W): (N, K)."""
        return self.log_classes(examples)


@recipe(
    "m2",
    family="autoencoders",
    paper="Kingma et al. 2014, arXiv:1406.5298",
    needs={"image": Image, "label": Label},
    steps=20_000,
    batch_size=100,
)
def m2(
    spec: Spec,
    *,
    labelled: int = 100,
    classification: float = 20.0,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(latent_dim=50),
    descent: Descent = Descent(learning_rate=3e-4),
) -> M2:
    """A variational autoencoder that learns classes from few labels and many images, and parts class from style.

    minimised   E_unlabelled U(x) + E_labelled [−L(x, y) − α log q(y|x)]

    `kallima evaluate RUN --split test` gives its error beside that of the same classifier with the labels alone.

    Args:
        labelled: how many examples have their label read, the same number of each class.
        classification: weight α of knowing the labels.
    """
    if labelled < 1:
        raise UsageError(f"--labelled counts from 1, not {labelled}: without labels there is gmvae")
    label = spec["label"]
    assert isinstance(label, Label)
    return M2(
        spec,
        networks,
        likelihood_of(pixels),
        len(label.classes),
        labelled=labelled,
        classification=classification,
        descent=descent,
    )
