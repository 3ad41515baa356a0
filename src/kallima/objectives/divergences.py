"""f-GAN (Nowozin et al. 2016, arXiv:1606.00709): any f-divergence as a game.

    D_f(p ‖ q) = E_q f(p / q) = sup_T  E_p T(x) - E_q f*(T(x)),    f*(t) = sup_u  u t - f(u)        (Eq. 2-4)

The score v is turned into T = g_f(v), where g_f rises and its range is the domain of f* (Eq. 6, table 2; u = p / q):

    name               f(u)                              g_f(v)                 f*(t)
    kl                 u log u                           v                      exp(t - 1)
    reverse-kl         -log u                            -exp(-v)               -1 - log(-t)
    pearson            (u - 1)²                          v                      t² / 4 + t
    neyman             (1 - u)² / u                      1 - exp(-v)            2 - 2 √(1 - t)
    squared-hellinger  (√u - 1)²                         1 - exp(-v)            t / (1 - t)
    jeffrey            (u - 1) log u                     v                      W + 1 / W + t - 2
    jensen-shannon     u log u - (u + 1) log((u + 1)/2)  log 2 - log(1 + e^-v)  -log(2 - exp(t))
    gan                u log u - (u + 1) log(u + 1)      -log(1 + e^-v)         -log(1 - exp(t))
    total-variation    ½ |u - 1|                         ½ tanh v               t

with W = Lambert's W(e^(1 - t)). f(1) = 0, so that equal distributions are at distance 0; only for the GAN's is it
-log 4. "jensen-shannon" is twice the usual JS. The Pearson supremum is over all real u, as in the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.objectives.adversarial import AdversarialObjective, Terms


@dataclass(frozen=True)
class Divergence:
    """An f-divergence; each function takes and returns a tensor of any shape.

    `f` takes ratios u > 0, `activation` is g_f, `conjugate` is f* on its domain, and `composed` is f*(g_f(v)),
    simplified so that no step of it overflows unless the result does. Results grow like e^v on fakes for KL, squared
    Hellinger and Jeffrey, and like e^-v on real examples for reverse KL, Neyman and squared Hellinger (e^(-v/2) on
    fakes for Neyman): there a float32 score of 90 is too much for any form.
    """

    name: str
    f: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    composed: Callable[[Tensor], Tensor]


def f_gan(divergence: Divergence, *, minimax: bool = True) -> AdversarialObjective:
    """The discriminator maximises E g_f(v(x)) - E f*(g_f(v(G(z)))), a lower bound of D_f(p ‖ p_G) (Eq. 4).

    The generator minimises that bound: -E f*(g_f(v(G(z)))); or, without `minimax`, it follows the paper's trick
    (section 3.2) and maximises E g_f(v(G(z))): the same fixed point, other gradients on the way.
    """

    def discriminator(real: Tensor, fake: Tensor) -> Terms:
        return {"real": -divergence.activation(real).mean(), "fake": divergence.composed(fake).mean()}

    def generator(_: Tensor | None, fake: Tensor) -> Terms:
        return {"adversarial": -(divergence.composed if minimax else divergence.activation)(fake).mean()}

    at_equilibrium = float(divergence.f(torch.ones((), dtype=torch.float64)))  # p / q = 1 everywhere
    return AdversarialObjective(f"f-gan-{divergence.name}", discriminator, generator, undecided=0.0 - at_equilibrium)


def _log_lambert(z: Tensor) -> Tensor:
    """Return log W(e^z), that is the y with y + e^y = z, by Newton's method.

    y + e^y rises and is convex, so from a start above the root every step lands between it and the root: it needs no
    safeguard, and five steps reach the precision of float64 for any z. Two more steps are recorded for autograd: the
    first makes the derivative exact, dy/dz = 1 / (1 + e^y), the second those of second and third order.
    """

    def step(y: Tensor, z: Tensor) -> Tensor:
        return y - (y + y.exp() - z) / (1.0 + y.exp())

    fixed = z.detach()
    y = torch.where(fixed > 1.0, fixed.clamp(min=1.0).log(), fixed)
    for _ in range(5):
        y = step(y, fixed)
    return step(step(y, z), z)


def _jeffrey_conjugate(t: Tensor) -> Tensor:
    """W + 1/W + t - 2 with log W = y and so W = 1 - t - y: nothing of e^(1 - t) is left that could overflow."""
    y = _log_lambert(1.0 - t)
    return (-y).exp() - y - 1.0


_DIVERGENCES = (
    Divergence(
        "kl",
        f=lambda u: torch.xlogy(u, u),
        activation=lambda v: v,
        conjugate=lambda t: (t - 1.0).exp(),
        composed=lambda v: (v - 1.0).exp(),
    ),
    Divergence(
        "reverse-kl",
        f=lambda u: -u.log(),
        activation=lambda v: -(-v).exp(),
        conjugate=lambda t: -1.0 - (-t).log(),
        composed=lambda v: v - 1.0,
    ),
    Divergence(
        "pearson",
        f=lambda u: (u - 1.0).square(),
        activation=lambda v: v,
        conjugate=lambda t: 0.25 * t.square() + t,
        composed=lambda v: 0.25 * v.square() + v,
    ),
    Divergence(
        "neyman",
        f=lambda u: (1.0 - u).square() / u,
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: 2.0 - 2.0 * (1.0 - t).sqrt(),
        composed=lambda v: -2.0 * torch.expm1(-0.5 * v),
    ),
    Divergence(
        "squared-hellinger",
        f=lambda u: (u.sqrt() - 1.0).square(),
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: t / (1.0 - t),
        composed=torch.expm1,
    ),
    Divergence(
        "jeffrey",
        f=lambda u: (u - 1.0) * u.log(),
        activation=lambda v: v,
        conjugate=_jeffrey_conjugate,
        composed=_jeffrey_conjugate,
    ),
    Divergence(
        "jensen-shannon",
        f=lambda u: torch.xlogy(u, u) - (u + 1.0) * ((u + 1.0) / 2.0).log(),
        activation=lambda v: log(2.0) - F.softplus(-v),
        conjugate=lambda t: -(2.0 - t.exp()).log(),
        composed=lambda v: F.softplus(v) - log(2.0),
    ),
    Divergence(
        "gan",
        f=lambda u: torch.xlogy(u, u) - (u + 1.0) * (u + 1.0).log(),
        activation=lambda v: -F.softplus(-v),
        conjugate=lambda t: -(-torch.expm1(t)).log(),
        composed=F.softplus,
    ),
    Divergence(
        "total-variation",
        f=lambda u: 0.5 * (u - 1.0).abs(),
        activation=lambda v: 0.5 * v.tanh(),
        conjugate=lambda t: t,
        composed=lambda v: 0.5 * v.tanh(),
    ),
)

DIVERGENCES: Final = {divergence.name: divergence for divergence in _DIVERGENCES}
