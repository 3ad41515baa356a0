"""Minibatch discrimination (Salimans et al. 2016, arXiv:1606.03498, section 3.2)."""

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Tells each example how near the others of its batch are, so that a collapsed batch gives itself away.

        o(xᵢ)_b = Σ_{j≠i} exp(−‖M_{i,b} − M_{j,b}‖₁),   M = f(x) T

    T has `kernels` B of `dimensions` C each. An example is not compared with itself, which would add 1 to everything.
    Real and fake examples belong in batches of their own. Memory grows as N² B.
    """

    def __init__(self, features: int, kernels: int, dimensions: int = 5):
        super().__init__()
        self.kernels, self.dimensions = kernels, dimensions
        self.project = nn.Linear(features, kernels * dimensions, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) to (N, F + B)."""
        rows = self.project(features).unflatten(1, (self.kernels, self.dimensions)).transpose(0, 1).contiguous()
        distances = torch.cdist(rows, rows, p=1.0)  # (B, N, N)
        closeness = (-distances).exp().sum(2) - 1  # but for its own, which is exp(0)
        return torch.cat([features, closeness.T], 1)
