"""What a discriminator and a generator minimise, as functions of the discriminator's scores.

A score is the raw output s of the discriminator (the critic). Where it is a logit, D(x) = sigmoid(s(x)) and every
logarithm is taken through softplus, so no score overflows: -log D = softplus(-s), -log(1 - D) = softplus(s).
All terms are means over the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log, log1p
from typing import Final

import torch.nn.functional as F
from torch import Tensor

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class AdversarialObjective:
    """A pair of losses; each takes what was seen of real and of fake examples and returns named scalar terms.

    `discriminator(real, fake)` takes scores (N,) of both. `generator(real, fake)` takes those of the fakes and, where
    it is `relative`, those of the real examples too, else None. With `on_features` the generator's loss takes the
    discriminator's features (N, F) instead of its scores. With a `distance` between examples, (N, …) and (N, …) to
    (N,), the discriminator's loss takes that of each pair as a third argument. `smoothed(amount)` gives the objective
    whose discriminator is asked for 1 - amount instead of 1 on real examples; None where there are no labels to smooth.
    `undecided` is the loss of the best discriminator of equal distributions, which scores all examples alike, as at
    equilibrium; None where the objective has no such level.
    """

    name: str
    discriminator: Callable[..., Terms]
    generator: Callable[[Tensor | None, Tensor], Terms]
    relative: bool = False
    on_features: bool = False
    distance: Callable[[Tensor, Tensor], Tensor] | None = None
    smoothed: Callable[[float], "AdversarialObjective"] | None = None
    undecided: float | None = None


def cross_entropy_discriminator(real: Tensor, fake: Tensor, *, smoothing: float = 0.0) -> Terms:
    """-E log D(x) - E log(1 - D(G(z))): the negative of the game's value (Goodfellow et al. 2014, Eq. 1).

    Its minimum over D is log 4 - 2 JS(p, p_G), so log 4 = 1.3863 where the generator is perfect. `smoothing` α asks for
    1 - α on real examples (Salimans et al. 2016, arXiv:1606.03498, section 3.4):
    -(1 - α) log D - α log(1 - D) = softplus(-s) + α s, and then the best D is (1 - α) p / (p + p_G).
    """
    return {"real": (F.softplus(-real) + smoothing * real).mean(), "fake": F.softplus(fake).mean()}


def saturating_generator(_: Tensor | None, fake: Tensor) -> Terms:
    """E log(1 - D(G(z))) (Goodfellow et al. 2014, Eq. 1); its gradient vanishes where the discriminator is sure."""
    return {"adversarial": -F.softplus(fake).mean()}


def non_saturating_generator(_: Tensor | None, fake: Tensor) -> Terms:
    """-E log D(G(z)) (Goodfellow et al. 2014, section 3): same fixed point, strong gradients where D is sure."""
    return {"adversarial": F.softplus(-fake).mean()}


def boundary_seeking_generator(_: Tensor | None, fake: Tensor) -> Terms:
    """½ E (log D(G(z)) - log(1 - D(G(z))))² = ½ E s(G(z))² (Hjelm et al. 2017, arXiv:1702.08431, for continuous data).

    Fakes are driven to the decision boundary D = ½, not beyond it.
    """
    return {"adversarial": 0.5 * fake.square().mean()}


def hinge_discriminator(real: Tensor, fake: Tensor) -> Terms:
    """E max(0, 1 - s(x)) + E max(0, 1 + s(G(z))) (Lim & Ye 2017; Miyato et al. 2018, Eq. 16).

    2 where the discriminator cannot tell the two apart.
    """
    return {"real": F.relu(1.0 - real).mean(), "fake": F.relu(1.0 + fake).mean()}


def wasserstein_critic(real: Tensor, fake: Tensor) -> Terms:
    """E s(G(z)) - E s(x): over all 1-Lipschitz s its minimum is -W₁(p, p_G) (Arjovsky et al. 2017, Eq. 2).

    Without a bound on the critic's slope it has no minimum.
    """
    return {"real": -real.mean(), "fake": fake.mean()}


def linear_generator(_: Tensor | None, fake: Tensor) -> Terms:
    """-E s(G(z)) (Arjovsky et al. 2017, Algorithm 1; Miyato et al. 2018, Eq. 17)."""
    return {"adversarial": -fake.mean()}


def cross_entropy_game(
    name: str,
    generator: Callable[[Tensor | None, Tensor], Terms],
    *,
    smoothing: float = 0.0,
    relative: bool = False,
    on_features: bool = False,
) -> AdversarialObjective:
    """Set `generator` against the cross-entropy discriminator, which is asked for 1 - `smoothing` on real examples."""
    at_equilibrium = (1.0 - smoothing) / 2.0
    return AdversarialObjective(
        name,
        partial(cross_entropy_discriminator, smoothing=smoothing),
        generator,
        relative=relative,
        on_features=on_features,
        smoothed=lambda amount: cross_entropy_game(
            name, generator, smoothing=amount, relative=relative, on_features=on_features
        ),
        undecided=-2.0 * (at_equilibrium * log(at_equilibrium) + (1.0 - at_equilibrium) * log1p(-at_equilibrium)),
    )


def least_squares_game(a: float, b: float, c: float) -> AdversarialObjective:
    """LSGAN (Mao et al. 2016, arXiv:1611.04076, Eq. 2): ½ E (s(x) - b)² + ½ E (s(G(z)) - a)², ½ E (s(G(z)) - c)².

    a is what the discriminator wants of fakes, b of real examples, c what the generator wants it to say of fakes. The
    score is linear, without a sigmoid; the best one is (b p + a p_G) / (p + p_G), and b - c = 1, b - a = 2 minimises a
    Pearson χ² divergence (section 3.2.1).
    """

    def discriminator(real: Tensor, fake: Tensor) -> Terms:
        return {"real": 0.5 * (real - b).square().mean(), "fake": 0.5 * (fake - a).square().mean()}

    def generator(_: Tensor | None, fake: Tensor) -> Terms:
        return {"adversarial": 0.5 * (fake - c).square().mean()}

    return AdversarialObjective(
        "least-squares",
        discriminator,
        generator,
        smoothed=lambda amount: least_squares_game(a, b - amount * (b - a), c),
        undecided=(b - a) ** 2 / 4.0,
    )


minimax: Final = cross_entropy_game("minimax", saturating_generator)
non_saturating: Final = cross_entropy_game("non-saturating", non_saturating_generator)
boundary_seeking: Final = cross_entropy_game("boundary-seeking", boundary_seeking_generator)
hinge: Final = AdversarialObjective("hinge", hinge_discriminator, linear_generator, undecided=2.0)
wasserstein: Final = AdversarialObjective("wasserstein", wasserstein_critic, linear_generator, undecided=0.0)
least_squares: Final = least_squares_game(a=0.0, b=1.0, c=1.0)  # the paper's choice (Eq. 9)
