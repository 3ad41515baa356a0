"""A density for each channel that is learned from nothing (Ballé et al. 2018, arXiv:1802.01436, appendix 6.1)."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.layers.frequencies import Table, bin_between, table_of

FLOOR = 1e-9  # added to a likelihood, whose logarithm is wanted: unlike a maximum it leaves a gradient
REACH = 1024  # tables go no further from 0


class FactorisedDensity(nn.Module):
    """How likely whole numbers are, in each channel by a cumulative function of its own.

        c(x) = σ(f_K ∘ … ∘ f_1(x)),     f_k(x) = g_k(H_k x + b_k),     g_k(x) = x + a_k ⊙ tanh(x),  g_K the identity

    H_k = softplus(Ĥ_k) > 0 and a_k = tanh(â_k) > −1, so c rises from 0 to 1. The probability of the bin around y is
    c(y + ½) − c(y − ½). `scale` is how far around 0 the first density reaches: latents start small.
    """

    def __init__(self, channels: int, *, widths: tuple[int, ...] = (3, 3, 3), scale: float = 2.0):
        super().__init__()
        sizes = (1, *widths, 1)
        step = scale ** (1 / (len(widths) + 1))
        self.matrices, self.biases, self.factors = (nn.ParameterList() for _ in range(3))
        for before, after in itertools.pairwise(sizes):
            first = math.log(math.expm1(1 / step / after))
            self.matrices.append(nn.Parameter(torch.full((channels, after, before), first)))
            self.biases.append(nn.Parameter(torch.rand(channels, after, 1) - 0.5))
        for width in widths:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of c at x (C, 1, n), likewise, in the precision of x."""
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = F.softplus(matrix.to(x)) @ x + bias.to(x)
            if layer < len(self.factors):
                x = x + torch.tanh(self.factors[layer].to(x)) * torch.tanh(x)
        return x

    def forward(self, values: Tensor) -> Tensor:
        """Return the probabilities, at least 1e-9, of the bins around values (N, C, H, W), likewise."""
        by_channel = values.movedim(1, 0).flatten(1)[:, None]
        found = bin_between(self.logits(by_channel - 0.5), self.logits(by_channel + 0.5))
        shape = (values.shape[1], values.shape[0], *values.shape[2:])
        return (found + FLOOR).view(shape).movedim(0, 1)

    @torch.no_grad()
    def tables(self) -> list[Table]:
        """Return the table of each channel, computed on the CPU in float64."""
        matrices = list(self.matrices)
        edges = torch.arange(-REACH, REACH + 2, dtype=torch.float64, device=matrices[0].device) - 0.5
        logits = self.logits(edges.expand(len(matrices[0]), 1, -1))[:, 0].cpu()
        return [table_of(-REACH, row) for row in logits]
