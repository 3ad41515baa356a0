"""Gradient reversal (Ganin et al. 2016, arXiv:1505.07818, section 4.2): one loss that two sides pull at."""

from torch import Tensor


def reverse_gradient(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """Return x (any shape); on the way back the gradient is multiplied by -`strength`, λ in the paper.

    What follows descends on its loss, what comes before ascends on λ times it; the loss itself has no λ.
    """
    still = x.detach()
    return still - strength * (x - still)  # x - still is exactly 0, and carries the gradient
