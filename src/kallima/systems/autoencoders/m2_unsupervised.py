"""M2 without a label (Kingma et al. 2014): the control beside `gmvae`, whose class says nothing of the image."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.classes import ClassVAE
from kallima.systems.autoencoders.settings import Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.descent import Descent, player


class UnsupervisedM2(ClassVAE):
    """A class beside the code, one prior for all codes and no label: nothing asks the class to say anything.

    Kingma et al. 2014, "Semi-supervised learning with deep generative models", arXiv:1406.5298, with Eq. 7 alone.

        p(x) = Σ_y 1/K ∫ N(z; 0, I) p(x | z, y) dz
        minimised   U(x) = Σ_y q(y | x) [−log p(x | z_y, y) + KL(q(z | x, y) ‖ N(0, I)) + log K] − H(q(y | x))

    Symbols as for `gmvae`. To tell y from x costs log K − H(q(y | x)) nats, and z can say the same at the same price
    in a way that the decoder already understands; so q(y | x) goes to 1/K for every image. That is what is to be seen
    here: "category", KL(q(y | x) ‖ 1/K), goes to 0, the note "used", H of the batch's mean q(y | x), to log K (2.30
    for ten), and `kallima evaluate --metrics cluster-accuracy` to chance. `gmvae` has the same bound but for its
    prior, which makes codes cheaper where they lie in clusters: there "category" rises to log K instead. The
    difference is what a mixture for a prior is worth.

    Use `gmvae` to find clusters, and `m2` where there are labels; this one is for the comparison.
    """

    def __init__(self, spec: Spec, networks: Coders, likelihood: Likelihood, clusters: int, *, descent: Descent):
        super().__init__(spec, networks, likelihood, clusters, told=True, descent=descent)

    def game(self) -> list[Phase]:
        """One player, who lowers the free energy."""
        parts = [self.sorter, self.encoder, self.decoder]
        return [Phase("autoencoder", player("autoencoder", *parts, descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The free energy of the batch's images, in three terms, and the entropy of the classes in it."""
        terms, log_q = self.free_energy(self.likelihood.target(batch["image"]))
        frequency = log_q.exp().mean(0)
        return terms, {"used": -(frequency * frequency.clamp_min(1e-9).log()).sum()}

    def prior_moments(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Return 0 and 0 (N, d): one prior for all classes."""
        zero = category.new_zeros(len(category), self.latent_dim)
        return zero, zero

    @torch.no_grad()
    def cluster(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class for images (N, C, H, W): (N, K)."""
        return self.log_classes(examples)


@recipe(
    "m2-unsupervised",
    family="autoencoders",
    paper="Kingma et al. 2014, arXiv:1406.5298",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def m2_unsupervised(
    spec: Spec,
    *,
    clusters: int = 10,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    descent: Descent = Descent(),
) -> UnsupervisedM2:
    """A variational autoencoder with an idle class beside its code: the control that shows why `gmvae` has a mixture.

    minimised   Σ_y q(y|x) [−log p(x|z_y, y) + KL(q(z|x,y) ‖ N(0, I)) + log K] − H(q(y|x))

    Args:
        clusters: how many values K the class has.
    """
    if clusters < 2:
        raise UsageError(f"--clusters counts from 2, not {clusters}: with one there is vae")
    return UnsupervisedM2(spec, networks, likelihood_of(pixels), clusters, descent=descent)
