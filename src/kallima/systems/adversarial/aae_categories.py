"""Adversarial autoencoders whose code has a category: the class, told by few labels, or a cluster found without."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.portion import Portion
from kallima.data.spec import Image, Label, Points, Spec
from kallima.errors import UsageError
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.aae import CodedGame, code_discriminator, code_encoder
from kallima.systems.adversarial.pair import build_generator
from kallima.systems.adversarial.settings import Networks, Play

LABELLED_BATCH = 100
"""Labelled examples a step, or all where there are fewer."""


class SemiSupervisedAAE(CodedGame):
    """An adversarial autoencoder that codes an example by its class and its style, told the class of few examples.

    Makhzani et al. 2016, "Adversarial autoencoders", arXiv:1511.05644 (section 5, figure 8).

        discriminator of styles    minimises  −E log D₁(z) − E log(1 − D₁(z(x))),    z ~ N(0, I)
        discriminator of classes   minimises  −E log D₂(y) − E log(1 − D₂(y(x))),    y ~ Cat(1/K), one-hot
        autoencoder                minimises  E mean (G(z(x), y(x)) − x)² − λ E log D₁(z(x)) − λ E log D₂(y(x))
                                              − μ E log y(x)_c,    (x, c) labelled;    z(x) ~ N(m(x), σ² I)

    Symbols: x an example, z(x) its style, drawn around the mean m(x), and y(x) the probabilities of the K classes, both
    given by the encoder, G the decoder, c the class of a labelled example, λ the adversarial and μ the supervised
    weight. D₁ distributes the styles of all examples together as N(0, I), D₂ makes y(x) one-hot and all classes as
    frequent, over all the examples whose class nobody told. Only the labelled ones' labels are read.

    What to watch: "classification" falls to 0 soon, few labels are easily learned; the terms of D₂ say whether the
    other examples are as decided. No term forbids the style to know the class: the more numbers it has
    (`--latent-dim`) and the more exactly each is told (`--style-noise`), the more of the class it can hold; then y is
    of little use to the decoder, and D₂ deals out classes that are no better than the labels alone make them, or worse.

    Where we deviate: the posterior of the style is the normal one of the paper's section 2, with a deviation σ that is
    fixed while it learns; what is encoded is described by its mean. The style has 5 numbers, the paper's 10. As in
    `aae`, one step down the sum of all terms with Adam, where the paper takes turns of reconstruction, regularisation
    and classification with an optimiser each; and layers of 512 units instead of 1,000. Classes are taken to be equally
    frequent, as in the paper; where those of the data are not, D₂ works against them.
    """

    def __init__(
        self,
        spec: Spec,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminators: Sequence[nn.Module],
        *,
        prior: NormalPrior,
        conditions: Conditions,
        labelled: int,
        supervised_weight: float,
        adversarial_weight: float,
        input_noise: float,
        style_noise: float,
        play: Play,
    ):
        super().__init__(
            spec,
            encoder,
            decoder,
            discriminators,
            prior=prior,
            categories=conditions.size,
            adversarial_weight=adversarial_weight,
            input_noise=input_noise,
            style_noise=style_noise,
            play=play,
            conditions=conditions,
        )
        if labelled < 1:
            raise UsageError(f"--labelled counts from 1, not {labelled}: without labels there is aae-clustering")
        self.supervised_weight = supervised_weight
        few = Portion(few=labelled, batch_size=min(labelled, LABELLED_BATCH))
        self.streams = {"data": Portion(), "labelled": few}

    def game(self) -> list[Phase]:
        """The discriminators' steps, then the autoencoder's, which reads labelled examples too."""
        discriminator, autoencoder = super().game()
        autoencoder.loss, autoencoder.reads = self.autoencoder_loss, ("data", "labelled")
        return [discriminator, autoencoder]

    def autoencoder_loss(self, batch: Batch, labelled: Batch) -> Terms:
        """Rebuild the batch, pass for the prior, and know the classes of the labelled."""
        example = batch[self.field]
        outputs = self.encoder(self.blurred(torch.cat([example, labelled[self.field]])))
        terms = self.autoencoding(example, self.decided(outputs[: len(batch)]))
        classification = F.cross_entropy(outputs[len(batch) :, self.category], labelled["label"])
        return terms | {"classification": self.supervised_weight * classification}

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for examples (N, …): (N, K)."""
        with evaluating(self):
            return self.encoder(examples)[:, self.category].log_softmax(1)


class ClusteringAAE(CodedGame):
    """An adversarial autoencoder that codes an example by a cluster and its style, and finds the clusters by itself.

    Makhzani et al. 2016, "Adversarial autoencoders", arXiv:1511.05644 (section 6).

        discriminator of styles     minimises  −E log D₁(z) − E log(1 − D₁(z(x))),    z ~ N(0, I)
        discriminator of clusters   minimises  −E log D₂(y) − E log(1 − D₂(y(x))),    y ~ Cat(1/K), one-hot
        autoencoder                 minimises  E mean (G(z(x), y(x)) − x)² − λ E log D₁(z(x)) − λ E log D₂(y(x)),
                                                z(x) ~ N(m(x), σ² I)

    Symbols: x an example, z(x) its style, drawn around the mean m(x), and y(x) the probabilities of the K clusters,
    both given by the encoder, G the decoder, λ the adversarial weight. D₂ makes y(x) one-hot and all clusters as large;
    what goes into them is whatever spares the style most, which on images of digits is largely the digit. The less the
    style can tell, the more so: where it was exact (σ = 0), it told the digits by itself, and clusters were of strokes.

    What to watch: the terms of D₂, "category_real" and "category_fake", near log 4 together: then examples are sorted,
    not blended. With labels at hand clusters can be scored by the share of examples whose class is the most frequent
    of their cluster. Different seeds find different clusters.

    Where we deviate: σ is not 0 while it learns, as in `aae-semi-supervised`. As in `aae`, one step down the sum of all
    terms with Adam, where the paper takes turns with an optimiser each, and layers of 512 units instead of 1,000.
    Logits are batch-normalised before their softmax: without that one cluster took all examples within a few hundred
    steps, and kept them.
    """

    def __init__(
        self,
        spec: Spec,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminators: Sequence[nn.Module],
        *,
        prior: NormalPrior,
        clusters: int,
        adversarial_weight: float,
        input_noise: float,
        style_noise: float,
        play: Play,
    ):
        if clusters < 2:
            raise UsageError(f"--clusters counts from 2, not {clusters}")
        super().__init__(
            spec,
            encoder,
            decoder,
            discriminators,
            prior=prior,
            categories=clusters,
            adversarial_weight=adversarial_weight,
            input_noise=input_noise,
            style_noise=style_noise,
            play=play,
        )
        self.parts |= {"category": self.category}

    @torch.no_grad()
    def cluster(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each cluster for examples (N, …): (N, K)."""
        with evaluating(self):
            return self.encoder(examples)[:, self.category].log_softmax(1)


def category_encoder(spec: Spec, networks: Networks, outputs: int) -> nn.Module:
    """Build an encoder to codes (N, outputs) that is batch-normalised in each of its layers, the last one too."""
    encoder, last = cast(nn.Sequential, code_encoder(spec, networks, outputs)).children()
    body, linear = encoder.children()
    layers: list[nn.Module] = []
    for layer in body.children():  # convolutions are normalised already
        layers += [layer, nn.BatchNorm1d(layer.out_features)] if isinstance(layer, nn.Linear) else [layer]
    return nn.Sequential(*layers, linear, last)


@recipe(
    "aae-semi-supervised",
    family="adversarial",
    paper="Makhzani et al. 2016, arXiv:1511.05644",
    needs=({"image": Image, "label": Label}, {"points": Points, "label": Label}),
    steps=4_000,
    batch_size=128,
)
def aae_semi_supervised(
    spec: Spec,
    *,
    labelled: int = 100,
    supervised_weight: float = 1.0,
    adversarial_weight: float = 0.1,
    input_noise: float = 0.3,
    style_noise: float = 0.5,
    code_units: int = 256,
    networks: Networks = Networks(generator="mlp", width=512, depth=2, latent_dim=5),
    play: Play = Play(learning_rate=1e-3, schedule="cosine"),
) -> SemiSupervisedAAE:
    """An adversarial autoencoder that learns classes from few labels and many images, and parts class from style.

        discriminators  tell z ~ N(0, I) from the styles of the data, and one-hot y from its classes
        autoencoder     minimises  E mean (G(z(x), y(x)) − x)² − λ E log D₁(z(x)) − λ E log D₂(y(x)) − μ E log y(x)_c

    It classifies, and samples what it is asked for: `--condition label=7`.

    Args:
        labelled: how many examples have their label read, the same number of each class
        supervised_weight: μ, what knowing the class of the labelled is worth
        adversarial_weight: λ, what passing for a draw from the prior is worth against a squared error
        input_noise: standard deviation of the noise on what the encoder sees while it learns
        style_noise: σ, standard deviation of the noise on the style while it learns, in units of the prior's
        code_units: units of each hidden layer of the discriminators of codes
    """
    conditions, prior = Conditions(spec, ("label",)), NormalPrior(networks.latent_dim or 5)
    return SemiSupervisedAAE(
        spec,
        category_encoder(spec, networks, prior.dimensions + conditions.size),
        build_generator(spec, networks, condition_size=conditions.size),
        [code_discriminator(size, code_units) for size in (prior.dimensions, conditions.size)],
        prior=prior,
        conditions=conditions,
        labelled=labelled,
        supervised_weight=supervised_weight,
        adversarial_weight=adversarial_weight,
        input_noise=input_noise,
        style_noise=style_noise,
        play=play,
    )


@recipe(
    "aae-clustering",
    family="adversarial",
    paper="Makhzani et al. 2016, arXiv:1511.05644",
    needs=({"image": Image}, {"points": Points}),
    steps=4_000,
    batch_size=128,
)
def aae_clustering(
    spec: Spec,
    *,
    clusters: int = 16,
    adversarial_weight: float = 0.1,
    input_noise: float = 0.3,
    style_noise: float = 0.5,
    code_units: int = 256,
    networks: Networks = Networks(generator="mlp", width=512, depth=2, latent_dim=5),
    play: Play = Play(learning_rate=1e-3, schedule="cosine"),
) -> ClusteringAAE:
    """An adversarial autoencoder that sorts examples into clusters which it finds by itself, apart from their style.

        discriminators  tell z ~ N(0, I) from the styles of the data, and one-hot y from its clusters
        autoencoder     minimises  E mean (G(z(x), y(x)) − x)² − λ E log D₁(z(x)) − λ E log D₂(y(x))

    Args:
        clusters: K, how many there are
        adversarial_weight: λ, what passing for a draw from the prior is worth against a squared error
        input_noise: standard deviation of the noise on what the encoder sees while it learns
        style_noise: σ, standard deviation of the noise on the style while it learns, in units of the prior's
        code_units: units of each hidden layer of the discriminators of codes
    """
    prior = NormalPrior(networks.latent_dim or 5)
    return ClusteringAAE(
        spec,
        category_encoder(spec, networks, prior.dimensions + clusters),
        build_generator(spec, networks, condition_size=clusters),
        [code_discriminator(size, code_units) for size in (prior.dimensions, clusters)],
        prior=prior,
        clusters=clusters,
        adversarial_weight=adversarial_weight,
        input_noise=input_noise,
        style_noise=style_noise,
        play=play,
    )
