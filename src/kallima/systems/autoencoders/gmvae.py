"""A variational autoencoder with a mixture for a prior (Dilokthanakul et al. 2016): it sorts images into clusters."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.classes import ClassVAE
from kallima.systems.autoencoders.settings import Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.descent import Descent, player


class GMVAE(ClassVAE):
    """A variational autoencoder whose codes come from one of K Gaussians: which of them is what it learns to tell.

    Dilokthanakul et al. 2016, "Deep unsupervised clustering with Gaussian mixture variational autoencoders",
    arXiv:1611.02648, in the form in which the class is summed over and not drawn, and the Gaussians have no noise of
    their own.

        p(x) = Σ_y 1/K ∫ N(z; m_y, diag s_y²) p(x | z) dz
        minimised   U(x) = Σ_y q(y | x) [−log p(x | z_y) + KL(q(z | x, y) ‖ N(m_y, diag s_y²)) + log K] − H(q(y | x))

    Symbols: x an image, y its cluster, z its code, q(y | x) a softmax, q(z | x, y) a Gaussian, z_y a draw from it, m_y
    and s_y the mean and deviation of a cluster's codes, learned. U(x) ≥ −log p(x). All terms are in nats an image.

    A cluster costs log K and saves the divergence of far codes from one prior for all; so clusters come to be what
    looks alike. `m2` without a label has the same bound with one prior, and a decoder that is told y: there nothing is
    saved, and y falls idle (accuracy at chance, H(q(y)) at log K). That is the control.

    What to watch: "category" is KL(q(y | x) ‖ 1/K): near 0 no cluster is told from another, near log K = 2.30 each
    image is of one. The note "used" is H(q(y)) of the batch: log K where clusters are as frequent.
    """

    def __init__(self, spec: Spec, networks: Coders, likelihood: Likelihood, clusters: int, *, descent: Descent):
        super().__init__(spec, networks, likelihood, clusters, told=False, descent=descent)
        self.mixture = nn.Linear(clusters, 2 * networks.latent_dim)

    def game(self) -> list[Phase]:
        """One player, who lowers the free energy."""
        parts = [self.sorter, self.encoder, self.decoder, self.mixture]
        return [Phase("autoencoder", player("autoencoder", *parts, descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The free energy of the batch's images, in three terms."""
        terms, log_q = self.free_energy(self.likelihood.target(batch["image"]))
        frequency = log_q.exp().mean(0)
        return terms, {"used": -(frequency * frequency.clamp_min(1e-9).log()).sum()}

    def prior_moments(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return m_y and log s_y² (N, d) of clusters (N, K), one-hot."""
        mean, log_variance = self.mixture(category).chunk(2, 1)
        return mean, log_variance

    @torch.no_grad()
    def cluster(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each cluster for images (N, C, H, W): (N, K)."""
        return self.log_classes(examples)


@recipe(
    "gmvae",
    family="autoencoders",
    paper="Dilokthanakul et al. 2016, arXiv:1611.02648",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def gmvae(
    spec: Spec,
    *,
    clusters: int = 10,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    descent: Descent = Descent(),
) -> GMVAE:
    """A variational autoencoder whose prior is a mixture: it finds clusters of images by itself, and draws from each.

    minimised   Σ_y q(y|x) [−log p(x|z_y) + KL(q(z|x,y) ‖ N(m_y, s_y²)) + log K] − H(q(y|x))

    Args:
        clusters: how many Gaussians K the prior has.
    """
    if clusters < 2:
        raise UsageError(f"--clusters counts from 2, not {clusters}: with one there is vae")
    return GMVAE(spec, networks, likelihood_of(pixels), clusters, descent=descent)
