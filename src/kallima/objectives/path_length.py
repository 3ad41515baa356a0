"""The path-length penalty (Karras et al. 2020, arXiv:1912.04958, section 3.2): equal steps in style, equal in image."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

DECAY = 0.01
"""How much of the newest lengths goes into their moving mean."""


def path_lengths(generate: Callable[[Tensor], Tensor], styles: Tensor, directions: Tensor) -> Tensor:
    """‖Jᵀy‖ with J the Jacobian of an image by its style: styles (N, L, D), directions y (N, C, H, W), to (N,).

    `generate` makes images (N, C, H, W) of styles, each of its own. y is normal noise, which is divided by √(H W) here,
    so that lengths do not depend on the resolution. With a style for each of L layers the square is the mean of those
    of the layers, as in the authors' code. Differentiable once more, in the weights and in the styles.
    """
    share = 1 / math.sqrt(directions[0, 0].numel())
    slopes = torch.func.grad(lambda w: (generate(w) * directions).sum() * share)(styles)
    return slopes.square().sum(2).mean(1).sqrt()


def moved_target(target: Tensor, lengths: Tensor, updates: Tensor) -> Tensor:
    """Return the moving mean a of the lengths (N,), moved by the newest; no gradient passes.

    a ← a + max(0.01, 1 / (1 + updates)) (mean length − a): it starts as the mean of all so far, the authors' from 0.
    """
    share = (1 / (1 + updates)).clamp_min(DECAY)
    return target.lerp(lengths.detach().mean().to(target), share.to(target))


def path_length_penalty(lengths: Tensor, target: Tensor) -> Tensor:
    """E (‖Jᵀy‖ − a)² (Eq. 4) of lengths (N,); a scalar."""
    return (lengths - target).square().mean()
