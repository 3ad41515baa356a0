"""Generalised divisive normalisation (Ballé, Laparra & Simoncelli 2017, arXiv:1611.01704, section 2 and appendix)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_BETA = 1e-6
FIRST_GAMMA = 0.1
ALMOST_NOTHING = 2.0**-18  # at 0 itself a square has no gradient


class GDN(nn.Module):
    """Each channel divided by how busy all channels are at that place: y_i = x_i / √(β_i + Σ_j γ_ij x_j²).

    With `inverse` it is multiplied instead, which is what a decoder does (the paper's approximate inverse, IGDN).
    β > 0 and γ ≥ 0 hold because the parameters learned are their roots. The paper bounds these below; here they may
    change sign, which comes to the same and traps none at a bound.
    """

    def __init__(self, channels: int, *, inverse: bool = False):
        super().__init__()
        self.inverse = inverse
        self.root_beta = nn.Parameter(torch.ones(channels))
        first = torch.full((channels, channels), ALMOST_NOTHING)
        self.root_gamma = nn.Parameter(first.fill_diagonal_(math.sqrt(FIRST_GAMMA)))

    @property
    def beta(self) -> Tensor:
        """β (C,), at least 1e-6."""
        return self.root_beta.square() + LEAST_BETA

    @property
    def gamma(self) -> Tensor:
        """γ (C, C), not negative; row i is what channel i is divided by."""
        return self.root_gamma.square()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) likewise."""
        busy = F.conv2d(x.square(), self.gamma[:, :, None, None], self.beta)
        return x * (busy.sqrt() if self.inverse else busy.rsqrt())
