"""Relativistic games (Jolicoeur-Martineau 2018, arXiv:1807.00734): is a real example more real than a fake one?

Only differences of scores count, so a constant added to all of them changes nothing, and the generator's loss reads
the real examples' scores as well. A label says which of two is the real one: a real example alone has none to smooth.
"""

from math import log
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.objectives.adversarial import AdversarialObjective, Terms, hinge, least_squares_game, non_saturating


def paired_discriminator(real: Tensor, fake: Tensor) -> Terms:
    """-E log sigmoid(s(x) - s(G(z))), example i of the one batch against example i of the other (RpGAN)."""
    return {"relative": F.softplus(fake - real).mean()}


def paired_generator(real: Tensor | None, fake: Tensor) -> Terms:
    """-E log sigmoid(s(G(z)) - s(x)) (RpGAN)."""
    assert real is not None
    return {"adversarial": F.softplus(real - fake).mean()}


def average(name: str, objective: AdversarialObjective) -> AdversarialObjective:
    """Compare each example with the average one of the other kind (RaGAN), by `objective`'s losses.

    The discriminator minimises those of `objective` on s(x) - E s(G(z)) and s(G(z)) - E s(x); the generator minimises
    the same with real and fake exchanged. The labels of `objective` must be the opposites of one another.
    """

    def discriminator(real: Tensor, fake: Tensor) -> Terms:
        return objective.discriminator(real - fake.mean(), fake - real.mean())

    def generator(real: Tensor | None, fake: Tensor) -> Terms:
        assert real is not None
        exchanged = discriminator(fake, real)
        return {"adversarial": exchanged["real"] + exchanged["fake"]}

    alike = torch.zeros(1)
    undecided = sum(float(term) for term in discriminator(alike, alike).values())
    return AdversarialObjective(name, discriminator, generator, relative=True, undecided=undecided)


relativistic_paired: Final = AdversarialObjective(
    "relativistic-paired", paired_discriminator, paired_generator, relative=True, undecided=log(2.0)
)
relativistic_average: Final = average("relativistic-average", non_saturating)
relativistic_hinge: Final = average("relativistic-hinge", hinge)
relativistic_least_squares: Final = average("relativistic-least-squares", least_squares_game(a=-1.0, b=1.0, c=1.0))
