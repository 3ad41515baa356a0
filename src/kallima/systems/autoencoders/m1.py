"""Classifying by the codes of a variational autoencoder (Kingma et al. 2014, model M1): what images alone teach."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.portion import Portion
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.mlp import hidden_layers
from kallima.objectives.gaussian import reparameterised
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.coding import encoder
from kallima.systems.autoencoders.m2 import Baseline
from kallima.systems.autoencoders.settings import Charge, Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.autoencoders.variational import EncodingAutoencoder
from kallima.systems.descent import Descent, player


class M1(EncodingAutoencoder):
    """A variational autoencoder learns from images alone; then a classifier learns from the codes of a few with labels.

    Kingma, Rezende, Mohamed & Welling 2014, "Semi-supervised learning with deep generative models", arXiv:1406.5298
    (section 2.1, algorithm 1).

        first       −E log p(x | z) + KL(q(z | x) ‖ N(0, I))
        then        E_labelled −log c(y | z) + λ [E H(c(y | z)) − H(E c(y | z))],     z ~ q(z | x)
        baseline    E_labelled −log c'(y | x)

    Symbols: x an image, y its class, z its code, c the classifier of codes, λ `certainty`, H an entropy; the second
    expectation is over images without labels. What of pixels is noise the codes have left out, and a code is drawn
    anew each time: both help a classifier that sees a hundred of them. The baseline c' is a network of the encoder's
    kind on the pixels, which sees the same labelled images and nothing else: `kallima evaluate RUN --split test` gives
    both errors. `m1-m2` puts a generative classifier in the place of this one.

    What to watch: "elbo" in the first part, "classification" in the second. With λ "uncertainty" falls below 0 and is
    at least −λ log K.

    Where we deviate: the paper's classifier is a transductive support vector machine, which draws its boundary where
    there are few images and keeps the classes of about equal size; ours is a small network, and λ asks for the same:
    to be sure of each image, and of all classes as often. It supposes that they are; `--certainty 0` does not.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        classes: int,
        *,
        labelled: int,
        first: float,
        units: int,
        certainty: float,
        charge: Charge,
        descent: Descent,
    ):
        super().__init__(spec, networks, likelihood, descent=descent)
        self.first, self.certainty, self.charge = first, certainty, charge
        self.classifier = nn.Sequential(hidden_layers(networks.latent_dim, units, 2), nn.Linear(units, classes))
        self.baseline = Baseline(encoder(spec, networks, classes))
        self.streams = {"data": Portion(), "labelled": Portion(few=labelled, batch_size=min(labelled, 100))}

    def game(self) -> list[Phase]:
        """The autoencoder first; then the classifier of its codes, and the baseline beside it."""
        autoencoder = player("autoencoder", *self.modules_that_move(), descent=self.descent)
        classifier = player("classifier", self.classifier, descent=self.descent)
        baseline = player("baseline", self.baseline, descent=self.descent)
        then = (self.first, 1.0)
        return [
            Phase("autoencoder", autoencoder, self.loss, during=(0.0, self.first)),
            Phase("classifier", classifier, self.classifier_loss, reads=("data", "labelled"), during=then),
            Phase("baseline", baseline, self.baseline_loss, reads=("labelled",), during=then),
        ]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The two halves of the bound, of one code an image."""
        return self.charged_bound(batch, self.charge)

    def classifier_loss(self, batch: Batch, labelled: Batch) -> Terms:
        """Know the classes of the labelled by their codes, and be sure of those of the others."""
        known = self.classifier(drawn(self, labelled["image"]))
        terms = {"classification": F.cross_entropy(known, labelled["label"])}
        if self.certainty:
            log_c = self.classifier(drawn(self, batch["image"])).log_softmax(1)
            frequency = log_c.exp().mean(0)
            unsure = -(log_c.exp() * log_c).sum(1).mean()
            used = -(frequency * frequency.clamp_min(1e-9).log()).sum()
            terms["uncertainty"] = self.certainty * (unsure - used)
        return terms

    def baseline_loss(self, labelled: Batch) -> Terms:
        """Know the classes of the labelled by their pixels."""
        images = self.likelihood.target(labelled["image"])
        return {"classification": F.cross_entropy(self.baseline.sorter(images), labelled["label"])}

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W), by their mean codes: (N, K)."""
        with evaluating(self):
            return self.classifier(self.encode(examples)).log_softmax(1)


@torch.no_grad()
def drawn(model: EncodingAutoencoder, images: Tensor) -> Tensor:
    """Return a draw of the codes (N, d) of images (N, C, H, W), through which no gradient goes."""
    mean, log_variance = model.moments(model.likelihood.target(images), None)
    return reparameterised(mean, log_variance, torch.randn_like(mean))


@recipe(
    "m1",
    family="autoencoders",
    paper="Kingma et al. 2014, arXiv:1406.5298",
    needs={"image": Image, "label": Label},
    steps=20_000,
    batch_size=100,
)
def m1(
    spec: Spec,
    *,
    labelled: int = 100,
    first: float = 0.8,
    units: int = 256,
    certainty: float = 1.0,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(latent_dim=50),
    charge: Charge = Charge(),
    descent: Descent = Descent(),
) -> M1:
    """A classifier of few labelled images by their codes, which a variational autoencoder found in all images first.

    first   −E log p(x | z) + KL(q(z | x) ‖ N(0, I));   then   E_labelled −log c(y | z) + λ [E H(c(y | z)) − H(E c)]

    `kallima evaluate RUN --split test` gives its error beside that of a classifier of the labelled images' pixels.

    Args:
        labelled: how many examples have their label read, the same number of each class.
        first: share of the training in which the autoencoder learns, before the classifier does.
        units: units of the classifier's two layers.
        certainty: weight λ of being sure of images without labels; 0 reads labelled images alone.
    """
    if labelled < 1 or units < 1 or not 0 < first < 1 or certainty < 0:
        raise UsageError(
            "--labelled and --units count from 1, --first is a share of the training between 0 and 1, "
            "--certainty is not negative"
        )
    label = spec["label"]
    assert isinstance(label, Label)
    return M1(
        spec,
        networks,
        likelihood_of(pixels),
        len(label.classes),
        labelled=labelled,
        first=first,
        units=units,
        certainty=certainty,
        charge=charge,
        descent=descent,
    )
