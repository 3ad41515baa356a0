"""Games of margins: real examples are to score higher than fakes by a margin, and no more is asked."""

import torch.nn.functional as F
from torch import Tensor

from kallima.objectives.adversarial import AdversarialObjective, Terms, non_saturating_generator


def margin_loss(real: Tensor, fake: Tensor, margin: Tensor | float) -> Tensor:
    """E [margin - s(x) + s(G(z))]₊ over pairs of scores (N,), example i of the one batch with example i of the other.

    With a constant margin ε it is GoGAN's discriminator loss (Juefei-Xu et al. 2017, arXiv:1704.04865), whose
    generator minimises -E s(G(z)). It is 0 where every real example scores higher than its fake by ε.
    """
    return F.relu(margin - real + fake).mean()


def ranking_loss(real: Tensor, previous: Tensor, margin: float) -> Tensor:
    """E [2ε - s(x) + s(G_previous(z))]₊: real examples beat the stage before by twice the margin (GoGAN, as above)."""
    return margin_loss(real, previous, 2.0 * margin)


def mean_absolute_difference(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of |x - G(z)| over all dimensions of each pair: (N, …) and (N, …) to (N,)."""
    return (real - fake).abs().flatten(1).mean(1)


def loss_sensitive(weight: float = 1.0, scale: float = 1.0) -> AdversarialObjective:
    """Loss-sensitive GAN (Qi 2017, arXiv:1701.06264), with the loss function L = log(1 + e^-s) of a score s.

        discriminator   E L(x) + λ E [Δ(x, G(z)) + L(x) - L(G(z))]₊
        generator       E L(G(z))

    `weight` is λ, and Δ is `scale` times the mean absolute difference of the pair. So the fakes that are near their
    real example need not score much lower, and the discriminator spends itself on those that are far. The theory wants
    L bounded from below, which a bare network is not: the softplus makes it at least 0. No level says undecided.
    """

    def discriminator(real: Tensor, fake: Tensor, distance: Tensor) -> Terms:
        of_real, of_fake = F.softplus(-real), F.softplus(-fake)
        return {"real": of_real.mean(), "margin": weight * margin_loss(-of_real, -of_fake, distance)}

    def distance(real: Tensor, fake: Tensor) -> Tensor:
        return scale * mean_absolute_difference(real, fake)

    return AdversarialObjective("loss-sensitive", discriminator, non_saturating_generator, distance=distance)
