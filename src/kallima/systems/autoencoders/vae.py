"""Variational autoencoders (Kingma & Welling 2014) under any likelihood; β; under conditions (Sohn et al. 2015)."""

from collections.abc import Mapping

from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Image, Label, Spec, Values
from kallima.objectives.likelihood import Bernoulli, DiscretisedLogistic, FixedGaussian, Gaussian, Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.settings import Charge, Coders, Pixels
from kallima.systems.autoencoders.variational import EncodingAutoencoder, VariationalAutoencoder
from kallima.systems.descent import Descent, player


class VAE(EncodingAutoencoder):
    """An encoder that says how sure it is, a decoder that must do with what it is given: the two trained together.

    Kingma & Welling 2014, "Auto-encoding variational Bayes", arXiv:1312.6114.

        log p(x) ≥ L(x) = E_q(z|x) [log p(x | z)] − KL(q(z | x) ‖ p(z))
        minimised       −E log p(x | z) + β KL(N(μ(x), diag σ²(x)) ‖ N(0, I)),     z = μ(x) + σ(x) ε,  ε ~ N(0, I)

    Symbols: x an image, z its code, q(z | x) the encoder's Gaussian, p(z) = N(0, I) the prior, p(x | z) the decoder's
    distribution of pixels. Everything is summed over dimensions and averaged over images, in nats an image: a mean over
    pixels beside a summed divergence would be a silent β.

    Likelihoods. `bernoulli`: pixels black or white, drawn by their brightness each time (dynamic binarisation).
    `gaussian`: the decoder gives μ and σ of each pixel; `fixed-gaussian` gives μ alone. Both are densities, so their
    nats compare with nothing else. `logistic`: the probability of each of the 256 levels of a pixel.

    β ≠ 1 (Higgins et al. 2017, openreview Sy2fzU9gl) asks for independent codes at the price of detail. `warm_up` lets
    β rise from 0 over that share of the training (Sønderby et al. 2016, arXiv:1602.02282). `free_bits` λ leaves each
    dimension λ nats for nothing, max(λ, KL_j) (Kingma et al. 2016, arXiv:1606.04934), so that none is given up early.
    What to watch: the notes "elbo" (β = 1, without free bits) and "active", the number of dimensions with a divergence
    above 0.01 nats. If "divergence" goes to 0 the decoder ignores its code: try --warm-up 0.2 or --free-bits 0.1.
    `kallima evaluate RUN --metrics elbo --split test` judges images that it has not seen.

    Where we deviate: samples and reconstructions are means of p(x | z), not draws.
    """

    def __init__(self, spec: Spec, networks: Coders, likelihood: Likelihood, *, descent: Descent, charge: Charge):
        super().__init__(spec, networks, likelihood, descent=descent)
        self.charge = charge

    def game(self) -> list[Phase]:
        """One player, who raises the bound."""
        return [Phase("autoencoder", player("autoencoder", *self.modules_that_move(), descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The two halves of the bound, of one code an image."""
        return self.charged_bound(batch, self.charge)


class ConditionalVAE(VariationalAutoencoder):
    """A variational autoencoder in which everything is given what the image is of.

    Sohn et al. 2015, "Learning structured output representation using deep conditional generative models"; with the
    prior as in Kingma et al. 2014 (arXiv:1406.5298, M2 with every label known).

        log p(x | c) ≥ E_q(z|x,c) [log p(x | z, c)] − KL(q(z | x, c) ‖ N(0, I))
        minimised      −E log p(x | z, c) + β KL(N(μ(x, c), diag σ²(x, c)) ‖ N(0, I))

    Symbols: x an image, c its condition (label, attributes, values), z its code. As the decoder is told c, z is left
    with what c does not say: style and not class, so that one z under every c is one hand that writes all digits.
    Otherwise as `vae`. To encode an image is to know its condition, so this model encodes no image alone.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        conditions: Conditions,
        *,
        descent: Descent,
        charge: Charge,
    ):
        super().__init__(spec, networks, likelihood, descent=descent, conditions=conditions)
        self.charge = charge

    def game(self) -> list[Phase]:
        """One player, who raises the bound."""
        both = player("autoencoder", *self.modules_that_move(), descent=self.descent)
        return [Phase("autoencoder", both, self.loss, after=self.learn)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The two halves of the bound, of one code an image."""
        return self.charged_bound(batch, self.charge)


def likelihood_of(pixels: Pixels) -> Likelihood:
    """Return the distribution of pixels that was asked for."""
    if pixels.likelihood == "fixed-gaussian":
        return FixedGaussian(pixels.deviation)
    kinds: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "gaussian": Gaussian, "logistic": DiscretisedLogistic}
    return kinds[pixels.likelihood]()


@recipe(
    "vae",
    family="autoencoders",
    paper="Kingma & Welling 2014, arXiv:1312.6114",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def vae(
    spec: Spec,
    *,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    charge: Charge = Charge(),
    descent: Descent = Descent(),
) -> VAE:
    """Codes with a spread, and a decoder that draws from them: the autoencoder that can be sampled and scored.

    minimised   −E log p(x | z) + β KL(q(z | x) ‖ N(0, I)),     z ~ q(z | x) = N(μ(x), diag σ²(x))

    The defaults are for pixels near black or white, such as digits; for photographs give `--likelihood logistic`.
    """
    return VAE(spec, networks, likelihood_of(pixels), descent=descent, charge=charge)


@recipe(
    "conditional-vae",
    family="autoencoders",
    paper="Sohn et al. 2015, NeurIPS 28; Kingma et al. 2014, arXiv:1406.5298",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
    ),
    steps=24_500,
    batch_size=100,
)
def conditional_vae(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    charge: Charge = Charge(),
    descent: Descent = Descent(),
) -> ConditionalVAE:
    """A variational autoencoder that is told label, attributes and values, and keeps style alone in its code.

    minimised   −E log p(x | z, c) + β KL(q(z | x, c) ‖ N(0, I))

    Args:
        condition_on: which of label, attributes and values to condition on; by default all that the data has.
    """
    conditions = Conditions(spec, condition_on)
    return ConditionalVAE(spec, networks, likelihood_of(pixels), conditions, descent=descent, charge=charge)
