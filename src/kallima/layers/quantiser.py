"""Vector quantisation with a codebook that follows its vectors (van den Oord et al. 2017, arXiv:1711.00937)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.full_precision import in_full_precision

SMOOTHING = 1e-5  # of the counts that a mean is over


class Quantised(NamedTuple):
    """Vectors (N, D) snapped to the codebook, the indices of their codes (N,), and the squared distances (N,)."""

    vectors: Tensor
    indices: Tensor
    distances: Tensor


class Quantiser(nn.Module):
    """K vectors of D numbers; each vector shown is replaced by the nearest of them.

    The codebook is not learned by descent: each code is the mean of the vectors that it stood for, with a memory of
    `decay` (appendix A.1 of the paper). A code that stood for fewer than `least` vectors a batch on average is put on
    one of the batch's own, so that none lies idle.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, dimensions: int, *, decay: float = 0.99, least: float = 0.5):
        super().__init__()
        self.decay, self.least = decay, least
        first = torch.randn(codes, dimensions)
        self.register_buffer("codes", first)
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", first.clone())

    @in_full_precision
    def forward(self, vectors: Tensor) -> Quantised:
        """Snap vectors (N, D); gradients pass straight through to them."""
        with torch.no_grad():
            away = vectors.square().sum(1, keepdim=True) - 2 * vectors @ self.codes.T + self.codes.square().sum(1)
            indices = away.argmin(1)
        nearest = F.embedding(indices, self.codes)
        distances = (vectors - nearest).square().sum(1)
        return Quantised(vectors + (nearest - vectors).detach(), indices, distances)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes (…, D) of indices (…)."""
        return F.embedding(indices, self.codes)

    @torch.no_grad()
    @in_full_precision
    def follow(self, vectors: Tensor, indices: Tensor) -> None:
        """Move the codes towards the means of the vectors (N, D) that they stood for, and wake those that were idle."""
        chosen = F.one_hot(indices, len(self.codes)).to(vectors.dtype)
        self.counts.lerp_(chosen.sum(0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ vectors, 1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + SMOOTHING) / (total + len(self.codes) * SMOOTHING) * total
        self.codes.copy_(self.sums / smoothed[:, None])
        idle = self.counts < self.least
        # of the batch's vectors one an idle code, spread evenly: nothing is drawn, so a resumed run does the same
        places = torch.arange(len(self.codes), device=vectors.device) * len(vectors) // len(self.codes)
        own = vectors[places]
        self.codes.copy_(torch.where(idle[:, None], own, self.codes))
        self.sums.copy_(torch.where(idle[:, None], own, self.sums))
        self.counts.copy_(torch.where(idle, torch.ones_like(self.counts), self.counts))
