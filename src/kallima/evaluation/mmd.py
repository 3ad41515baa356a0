"""Squared maximum mean discrepancy (Gretton et al. 2012): the unbiased estimate from all pairs, in blocks.

MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y), the diagonals dropped. With k(x, y) = −‖x − y‖ it is the energy distance.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]
"""(N, d), (M, d) float64 -> (N, M)."""

BLOCK = 1024  # larger matrices leave the allocator's reach: each would be mapped anew, twice the time


def squared_mmd(x: Tensor, y: Tensor, kernel: Kernel) -> tuple[float, float | None]:
    """Return the unbiased MMD² between (N, d) and (M, d), and its standard error by the delete-one jackknife.

    The jackknife is in closed form from the row sums of the kernel matrices; None for fewer than three examples.
    Between equal distributions, where the estimate is degenerate, it is too wide by about √2.
    """
    n, m = len(x), len(y)
    within_x, within_y = _within(x, kernel), _within(y, kernel)
    across_x, across_y = _across(x, y, kernel)
    xx, yy, xy = within_x.sum(), within_y.sum(), across_x.sum()
    value = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    if min(n, m) < 3:
        return value.item(), None
    # the terms that deleting one x, or one y, changes
    without_x = (xx - 2 * within_x) / ((n - 1) * (n - 2)) - 2 * (xy - across_x) / ((n - 1) * m)
    without_y = (yy - 2 * within_y) / ((m - 1) * (m - 2)) - 2 * (xy - across_y) / (n * (m - 1))
    variance = (n - 1) * without_x.var(correction=0) + (m - 1) * without_y.var(correction=0)
    return value.item(), math.sqrt(variance.item())


def _within(x: Tensor, kernel: Kernel) -> Tensor:
    """Return Σ_{j≠i} k(xᵢ, xⱼ), (N,); each pair is computed once."""
    sums = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), BLOCK):
        rows = x[i : i + BLOCK].double()
        for j in range(i, len(x), BLOCK):
            values = kernel(rows, x[j : j + BLOCK].double())
            if i == j:
                values.fill_diagonal_(0)
            else:
                sums[j : j + BLOCK] += values.sum(0)
            sums[i : i + BLOCK] += values.sum(1)
    return sums


def _across(x: Tensor, y: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Return Σⱼ k(xᵢ, yⱼ), (N,), and Σᵢ k(xᵢ, yⱼ), (M,)."""
    rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    columns = torch.zeros(len(y), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), BLOCK):
        for j in range(0, len(y), BLOCK):
            values = kernel(x[i : i + BLOCK].double(), y[j : j + BLOCK].double())
            rows[i : i + BLOCK] += values.sum(1)
            columns[j : j + BLOCK] += values.sum(0)
    return rows, columns
