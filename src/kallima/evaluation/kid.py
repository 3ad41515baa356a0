"""Kernel inception distance (Bińkowski et al. 2018, arXiv:1801.01401).

The unbiased MMD² of features under k(x, y) = (x·y/d + 1)³. The authors average it over random subsets of 1,000 to save
work; we take all pairs, which that average estimates: less variance, no seed, and the order of examples is nothing.
"""

from torch import Tensor

from kallima.evaluation.mmd import squared_mmd
from kallima.evaluation.score import Measure


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    """Return (x·y/d + 1)³ for all pairs of (N, d) and (M, d)."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def kid(real: Tensor, generated: Tensor) -> Measure:
    """Return the kernel distance between features (N, d) and (M, d); around 0, or below, for equal distributions."""
    value, spread = squared_mmd(real, generated, polynomial)
    return Measure(value, spread, "jackknife" if spread is not None else None)
