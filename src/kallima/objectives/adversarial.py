"""What a discriminator and a generator minimise, as functions of the discriminator's logits.

D(x) = sigmoid(logit(x)); every logarithm is taken through softplus, so no value of a logit overflows:
-log D = softplus(-logit), -log(1 - D) = softplus(logit). All terms are means over the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch.nn.functional as F
from torch import Tensor

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class AdversarialObjective:
    """One pair of losses.

    `discriminator(real_logits, fake_logits)` and `generator(fake_logits)` take logits of any shape and return named
    scalar terms, each to be minimised; the loss is their sum.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Terms]
    generator: Callable[[Tensor], Terms]


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Terms:
    """-E log D(x) - E log(1 - D(G(z))): the negative of the game's value (Goodfellow et al. 2014, Eq. 1).

    Its minimum over D is log 4 - 2 JS(p, p_G), so log 4 = 1.3863 where the generator is perfect.
    """
    return {"real": F.softplus(-real_logits).mean(), "fake": F.softplus(fake_logits).mean()}


def saturating_generator(fake_logits: Tensor) -> Terms:
    """E log(1 - D(G(z))) (Goodfellow et al. 2014, Eq. 1); its gradient vanishes where the discriminator is sure."""
    return {"adversarial": -F.softplus(fake_logits).mean()}


def non_saturating_generator(fake_logits: Tensor) -> Terms:
    """-E log D(G(z)) (Goodfellow et al. 2014, section 3): same fixed point, strong gradients where D is sure."""
    return {"adversarial": F.softplus(-fake_logits).mean()}


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Terms:
    """E max(0, 1 - logit(x)) + E max(0, 1 + logit(G(z))) (Lim & Ye 2017; Miyato et al. 2018, Eq. 16).

    2 where the discriminator cannot tell the two apart.
    """
    return {"real": F.relu(1.0 - real_logits).mean(), "fake": F.relu(1.0 + fake_logits).mean()}


def hinge_generator(fake_logits: Tensor) -> Terms:
    """-E logit(G(z)) (Miyato et al. 2018, Eq. 17)."""
    return {"adversarial": -fake_logits.mean()}


minimax: Final = AdversarialObjective("minimax", cross_entropy_discriminator, saturating_generator)
non_saturating: Final = AdversarialObjective("non-saturating", cross_entropy_discriminator, non_saturating_generator)
hinge: Final = AdversarialObjective("hinge", hinge_discriminator, hinge_generator)
