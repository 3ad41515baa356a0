"""Local coordinate coding: points written as combinations of a few bases near to them (Yu, Zhang & Gong 2009)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kallima.full_precision import in_full_precision

RIDGE = 1e-6
"""Of the squared distances to the bases: keeps a system solvable whose point lies within the hull of its bases."""


class Coding(NamedTuple):
    """Coordinates of points: `weights` (N, d), which sum to one, of the bases at `places` int64 (N, d)."""

    weights: Tensor
    places: Tensor


class LocalCoordinates(nn.Module):
    """M `bases` (M, D) among points (N, D), of which each point is described by the `neighbours` nearest, d of them.

        h ≈ Σ_j γ_j(h) v_j,   Σ_j γ_j = 1,   γ_j = 0 but for the d bases nearest to h

    It is a prior too: `draw` combines the d bases nearest to one of them by random weights. `spread` is how far these
    deviate from 1/d, and `remember` makes it what it is for the codings it is told of.
    """

    spread: Tensor
    written: Tensor

    def __init__(self, dimensions: int, bases: int, neighbours: int, *, locality: float):
        super().__init__()
        self.dimensions, self.neighbours, self.locality = dimensions, neighbours, locality
        self.bases = nn.Parameter(torch.randn(bases, dimensions))
        self.register_buffer("spread", torch.tensor(1.0 / neighbours))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    @in_full_precision
    def code(self, points: Tensor) -> Coding:
        """Return the coordinates of points (N, D) which minimise, among the d nearest bases v_j,

            ‖h − Σ_j γ_j v_j‖² + λ Σ_j γ_j² ‖h − v_j‖²    under  Σ_j γ_j = 1,     λ = `locality`

        in closed form (Wang et al. 2010, CVPR, "Locality-constrained linear coding", section 2): with the Gram matrix
        C of the v_j − h, γ is (C + λ diag C)⁻¹ 1, divided by its sum.
        """
        places = torch.cdist(points, self.bases).topk(self.neighbours, dim=1, largest=False).indices
        away = self.bases[places] - points[:, None]  # (N, d, D)
        gram = away @ away.mT
        squares = gram.diagonal(dim1=1, dim2=2)
        keep = self.locality * squares + RIDGE * squares.sum(1, keepdim=True) + torch.finfo(gram.dtype).tiny
        weights = torch.linalg.solve(gram + torch.diag_embed(keep), torch.ones_like(squares))
        return Coding(weights / weights.sum(1, keepdim=True), places)

    def combine(self, coding: Coding) -> Tensor:
        """Return the points of these coordinates (N, D)."""
        return (coding.weights[:, :, None] * self.bases[coding.places]).sum(1)

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, D) random points near the bases; `rng` as for `NormalPrior.draw`.

        A basis is chosen at random, and of the d bases nearest to it, itself among them, the combination with the
        weights 1/d + spread (z − mean z), z ~ N(0, I_d): they sum to one.
        """
        # one draw for both, so that the first of many points are those of few
        shape = count, 1 + self.neighbours
        noise = torch.randn(shape, device=device) if rng is None else torch.randn(shape, generator=rng).to(device)
        total = len(self.bases)
        chosen = (torch.special.ndtr(noise[:, 0]) * total).long().clamp(max=total - 1)
        places = torch.cdist(self.bases[chosen], self.bases).topk(self.neighbours, dim=1, largest=False).indices
        z = noise[:, 1:]
        weights = 1 / self.neighbours + self.spread * (z - z.mean(1, keepdim=True))
        return self.combine(Coding(weights, places))

    @torch.no_grad()
    def remember(self, points: Tensor, weights: Tensor) -> None:
        """Start the bases at the first M of the points (N, D) it is told of, and follow the weights (N, d) of all."""
        own = torch.arange(len(self.bases), device=points.device) - self.written  # no branch: a device need not wait
        first = (own >= 0) & (own < len(points))
        self.bases.copy_(torch.where(first[:, None], points[own.clamp(0, len(points) - 1)], self.bases))
        self.written += len(points)
        deviation = ((weights - 1 / self.neighbours) ** 2).sum(1).mean().div(max(1, self.neighbours - 1)).sqrt()
        self.spread.lerp_(deviation, FOLLOW)


FOLLOW = 0.05  # of the latest batch's deviation
