"""Penalties on the slope of a critic, to be added, times a weight, to what it minimises.

A critic maps examples (N, …) to one score each, (N,), and judges each alone: in a batch norm, or where examples are
packed, the gradient of the summed scores is not that of an example's own. Slopes are taken through `torch.func.grad`,
which is differentiable in the critic's weights and compiles in one piece.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def _gradients(critic: Critic, x: Tensor) -> Tensor:
    """∇s(xᵢ) for each example: (N, …) to (N, D), D all dimensions but the batch's."""
    return torch.func.grad(lambda examples: critic(examples).sum())(x.detach()).flatten(1)


def gradient_norms(critic: Critic, x: Tensor) -> Tensor:
    """‖∇s(x)‖, L2 over all dimensions of an example: (N, …) to (N,); differentiable in the critic's weights."""
    return torch.linalg.vector_norm(_gradients(critic, x), dim=1)


def interpolates(real: Tensor, fake: Tensor) -> Tensor:
    """ε x + (1 − ε) G(z), one ε ~ U(0, 1) a pair: (N, …) and (N, …) to (N, …)."""
    epsilon = torch.rand(len(real), *[1] * (real.dim() - 1), dtype=real.dtype, device=real.device)
    return fake + epsilon * (real - fake)


def interpolated_gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, *, one_sided: bool = False) -> Tensor:
    """E (‖∇s(x̂)‖ − 1)² at points x̂ between real and fake (Gulrajani et al. 2017, arXiv:1704.00028, Eq. 3).

    `one_sided` takes E max(0, ‖∇s(x̂)‖ − 1)² instead, which leaves flatter critics alone (Petzka et al. 2018,
    arXiv:1709.08894, Eq. 8). `real` and `fake` are as many.
    """
    excess = gradient_norms(critic, interpolates(real, fake)) - 1
    return (excess.relu() if one_sided else excess).square().mean()


def perturbed(real: Tensor) -> Tensor:
    """x + α ½ σ u: (N, …) to (N, …), one α ~ U(0, 1) an example and one u ~ U(0, 1) a pixel.

    σ is the standard deviation of all numbers in the batch.
    """
    return interpolates(real + 0.5 * real.std(correction=0) * torch.rand_like(real), real)


def dragan_penalty(critic: Critic, real: Tensor) -> Tensor:
    """E (‖∇s(x + δ)‖ − 1)² around real examples (Kodali et al. 2017, arXiv:1705.07215, section 2.3).

    The paper has δ ~ N(0, c I). Here, as in the authors' code, δ is that of `perturbed`, which grows with the spread of
    the data and never darkens.
    """
    return (gradient_norms(critic, perturbed(real)) - 1).square().mean()


def zero_centred_penalty(critic: Critic, x: Tensor) -> Tensor:
    """½ E ‖∇s(x)‖², summed over an example's dimensions (Mescheder et al. 2018, arXiv:1801.04406, Eqs. 9 and 10).

    R1 where x is real, R2 where it is fake; s is the score before any sigmoid, and the weight is the paper's γ.
    """
    return 0.5 * _gradients(critic, x).square().sum(1).mean()
