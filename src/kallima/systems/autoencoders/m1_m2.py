"""M1 + M2 (Kingma et al. 2014): the codes of a variational autoencoder, explained by a class and a style."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.objectives.gaussian import reparameterised
from kallima.objectives.likelihood import LEAST_LOG_DEVIATION, Gaussian, Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.m1 import drawn
from kallima.systems.autoencoders.m2 import M2
from kallima.systems.autoencoders.settings import Charge, Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.autoencoders.variational import EncodingAutoencoder
from kallima.systems.descent import Descent, player


@dataclass(frozen=True)
class CodesAlone:
    """The classifier of codes that sees the labelled ones and nothing else."""

    model: "M1M2"

    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W): (N, K)."""
        return self.model.upper.baseline.classify(as_images(self.model.mean_codes(examples)))


class M1M2(EncodingAutoencoder):
    """Two variational autoencoders, one on the codes of the other; the upper one parts class from style.

    Kingma, Rezende, Mohamed & Welling 2014, "Semi-supervised learning with deep generative models", arXiv:1406.5298
    (section 2.3).

        p(x, z₁, y, z₂) = p(x | z₁) p(z₁ | y, z₂) p(y) p(z₂),     p(z₁ | y, z₂) = N(μ, diag σ²),   p(z₂) = N(0, I)
        first           −E log p(x | z₁) + KL(q(z₁ | x) ‖ N(0, I))
        then, of codes  E_unlabelled U(z₁) + E_labelled [−L(z₁, y) − α log q(y | z₁)],     z₁ ~ q(z₁ | x)

    Symbols: x an image, z₁ its code (M1), y its class, z₂ its style; U and L are those of `m2`, with z₁ for the image
    and a Gaussian for its likelihood. The codes have left out what of the pixels is noise, and lie in few dimensions:
    there a class is a region that a Gaussian can explain, and classes are found better than among pixels.

    The baseline is the classifier q'(y | z₁) of the labelled codes alone, from the same first weights: M1 without its
    certainty. `kallima evaluate RUN --split test` gives both errors, and what the upper model is worth is the
    difference.

    A latent is the noise of z₂, then that of z₁, then the class, one-hot. Encoding keeps all of z₁, so reconstructions
    are the lower autoencoder's; the bound that `kallima evaluate` gives sums over all classes.

    What to watch: in the second part "category" is KL(q(y | z₁) ‖ 1/K), near log K where each image is of one class,
    and "used" the entropy of the classes in a batch, near log K where all are as frequent.

    Where we deviate: as `m2`. Both parts draw pixels black or white by their brightness.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        upper: M2,
        *,
        first: float,
        charge: Charge,
        descent: Descent,
    ):
        super().__init__(spec, networks, likelihood, descent=descent)
        self.first, self.charge, self.upper = first, charge, upper
        self.streams, self.conditions = upper.streams, Conditions(spec, ("label",))
        below, both = networks.latent_dim, upper.latent_dim + networks.latent_dim
        self.sizes = (upper.latent_dim, below, upper.classes)
        self.parts = {"z": slice(0, both), "label": slice(both, both + upper.classes)}

    def game(self) -> list[Phase]:
        """The lower autoencoder first; then the upper model, and the classifier of codes beside it."""
        upper = self.upper
        lower = player("autoencoder", *self.modules_that_move(), descent=self.descent)
        model = player("model", upper.sorter, upper.encoder, upper.decoder, descent=self.descent)
        baseline = player("baseline", upper.baseline, descent=self.descent)
        then = (self.first, 1.0)
        return [
            Phase("autoencoder", lower, self.loss, during=(0.0, self.first)),
            Phase("model", model, self.upper_loss, reads=("data", "labelled"), during=then),
            Phase("baseline", baseline, self.baseline_loss, reads=("labelled",), during=then),
        ]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The two halves of the lower bound, of one code an image."""
        return self.charged_bound(batch, self.charge)

    def upper_loss(self, batch: Batch, labelled: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The free energy of codes of images without labels, and the energy of those with."""
        codes = as_images(drawn(self, labelled["image"]))
        known = Batch({"image": codes, "label": labelled["label"]})
        return self.upper.loss(Batch({"image": as_images(drawn(self, batch["image"]))}), known)

    def baseline_loss(self, labelled: Batch) -> Terms:
        """Know the classes of the labelled codes."""
        codes = as_images(drawn(self, labelled["image"]))
        return self.upper.baseline_loss(Batch({"image": codes, "label": labelled["label"]}))

    @property
    def baseline(self) -> CodesAlone:
        """The classifier of codes that knows the labelled ones alone."""
        return CodesAlone(self)

    def code_moments(self, style: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (N, d) of p(z₁ | y, z₂), of styles (N, s) and classes (N, K)."""
        mean, log_deviation = self.upper.parameters_of(style, category).flatten(1).chunk(2, 1)
        return mean, 2 * log_deviation.clamp_min(LEAST_LOG_DEVIATION)

    @torch.no_grad()
    def mean_codes(self, examples: Tensor) -> Tensor:
        """Return the means of q(z₁ | x) of images (N, C, H, W): (N, d)."""
        with evaluating(self):
            return self.moments(examples, None)[0]

    @torch.no_grad()
    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W), by their mean codes: (N, K)."""
        return self.upper.classify(as_images(self.mean_codes(examples)))

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return the log of estimates of p(x) by a draw of z₁ and, for every class, of z₂: (draws, N)."""
        rows = []
        with evaluating(self):
            images = self.likelihood.target(batch["image"])
            mean, log_variance = self.moments(images, None)
            for _ in range(draws):
                noise = torch.randn_like(mean)
                codes = reparameterised(mean, log_variance, noise)
                log_p_x = self.likelihood.log_probability(self.decoder(codes), images)
                log_q = -0.5 * (noise.square() + log_variance + math.log(2 * math.pi)).sum(1)
                upper = self.upper.log_weights_of(Batch({"image": as_images(codes)}), 1)[0]
                rows.append(log_p_x - log_q + upper)
        return torch.stack(rows)

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.likelihood.note, "summed over all classes")

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` latents (count, s + d + K): noise, and each class as often, or those asked for (count, K)."""
        rng = rng or torch.default_generator
        noise = torch.randn(count, sum(self.sizes[:2]), generator=rng)
        if condition is None:
            classes = self.upper.classes
            condition = F.one_hot(torch.randint(classes, (count,), generator=rng), classes)
        return torch.cat([noise.to(self.device), condition.to(self.device, noise.dtype)], 1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return E[x | z₁] of latents (N, s + d + K): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            style, noise, category = latents.split(self.sizes, 1)
            codes = reparameterised(*self.code_moments(style, category), noise)
            return self.likelihood.mean(self.decoder(codes))

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the latents (N, s + d + K) of images (N, C, H, W): of the mean code, its class and its mean style."""
        with evaluating(self):
            codes = self.moments(examples, None)[0]
            category = F.one_hot(self.upper.sorter(as_images(codes)).argmax(1), self.upper.classes).to(codes)
            style = self.upper.encoder(as_images(codes), category)[:, : self.sizes[0]]
            mean, log_variance = self.code_moments(style, category)
            return torch.cat([style, (codes - mean) * (-0.5 * log_variance).exp(), category], 1)


def as_images(codes: Tensor) -> Tensor:
    """Return codes (N, d) as what `m2` explains: (N, 1, 1, d)."""
    return codes[:, None, None]


@recipe(
    "m1-m2",
    family="autoencoders",
    paper="Kingma et al. 2014, arXiv:1406.5298",
    needs={"image": Image, "label": Label},
    steps=40_000,
    batch_size=100,
)
def m1_m2(
    spec: Spec,
    *,
    labelled: int = 100,
    first: float = 0.5,
    classification: float = 20.0,
    style: int = 50,
    units: int = 500,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(latent_dim=50),
    charge: Charge = Charge(),
    descent: Descent = Descent(),
) -> M1M2:
    """Classes from few labels and many images: a variational autoencoder, then `m2` on its codes.

    first   −E log p(x | z₁) + KL(q(z₁ | x) ‖ N(0, I));   then   E U(z₁) + E_labelled [−L(z₁, y) − α log q(y | z₁)]

    `kallima evaluate RUN --split test` gives its error beside that of the same classifier of the labelled codes alone.

    Args:
        labelled: how many examples have their label read, the same number of each class.
        first: share of the training in which the lower autoencoder learns, before the upper model does.
        classification: weight α of knowing the labels.
        style: numbers of z₂.
        units: units of the upper model's hidden layers.
    """
    if min(labelled, style, units) < 1 or not 0 < first < 1:
        raise UsageError("--labelled, --style and --units count from 1, --first is a share between 0 and 1")
    label = spec["label"]
    assert isinstance(label, Label)
    upper = M2(
        Spec({"image": Image(1, 1, networks.latent_dim), "label": label}),
        Coders(network="dense", width=units, depth=1, latent_dim=style),
        Gaussian(),
        len(label.classes),
        labelled=labelled,
        classification=classification,
        descent=descent,
    )
    return M1M2(spec, networks, likelihood_of(pixels), upper, first=first, charge=charge, descent=descent)
