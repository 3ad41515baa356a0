"""Nearest neighbours in blocks: memory is linear in the number of examples, however many there are."""

import math

import torch
from torch import Tensor

from kallima.evaluation.processes import Processes

BLOCK = 1024  # larger matrices leave the allocator's reach: each would be mapped anew, up to 1.5 times the time


class Search:
    """Finds each query's nearest references, of references that come block by block and are not kept.

    `queries` are (N, d), `indices` int64 (N, count) the nearest so far, nearest first: 0 where fewer were seen.
    """

    def __init__(self, queries: Tensor, count: int = 1):
        self._queries = queries
        self._squares = torch.full((len(queries), count), math.inf, dtype=torch.float64, device=queries.device)
        self.indices = torch.zeros((len(queries), count), dtype=torch.int64, device=queries.device)

    @property
    def distances(self) -> Tensor:
        """How far they are, float64 (N, count), ascending: ∞ where fewer were seen, and 0 exactly for a copy."""
        return self._squares.sqrt()

    def look(self, references: Tensor, indices: Tensor) -> None:
        """Look among references (M, d) that are known by these indices (M,)."""
        for block, numbers in zip(references.split(BLOCK), indices.split(BLOCK), strict=True):
            for start in range(0, len(self._queries), BLOCK):
                rows = slice(start, start + BLOCK)
                squares = squared_distances(self._queries[rows], block)
                self._keep(rows, squares, numbers.to(squares.device).expand(len(squares), -1))

    def join(self, processes: Processes) -> None:
        """Give every process the nearest of what all of them have seen."""
        if processes.count == 1:
            return
        n, count = self.indices.shape
        places = torch.arange(n) * processes.count + processes.rank
        squares, indices = (
            processes.gather(found, places, n * processes.count).view(n, processes.count * count)
            for found in (self._squares, self.indices)
        )
        self._squares.fill_(math.inf)
        self._keep(slice(None), squares, indices)

    def _keep(self, rows: slice, squares: Tensor, indices: Tensor) -> None:
        candidates = torch.cat([self._squares[rows], squares], 1)
        self._squares[rows], order = candidates.topk(self.indices.shape[1], largest=False, sorted=True)
        self.indices[rows] = torch.cat([self.indices[rows], indices], 1).gather(1, order)


def nearest(queries: Tensor, references: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Return each query's `count` nearest references: distances float64 (N, count), ascending, and indices (N, count).

    `queries` are (N, d), `references` (M, d) with M ≥ count. A copy is at distance 0 exactly.
    """
    search = Search(queries, count)
    search.look(references, torch.arange(len(references)))
    return search.distances, search.indices


def nearest_other(features: Tensor) -> Tensor:
    """Return each example's distance to the nearest other one of its own set (N, d): float64 (N,)."""
    best = torch.full((len(features),), math.inf, dtype=torch.float64, device=features.device)
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        for other in range(start, len(features), BLOCK):  # each pair once
            columns = slice(other, other + BLOCK)
            block = squared_distances(features[rows], features[columns])
            if other == start:
                block.fill_diagonal_(math.inf)
            best[rows] = torch.minimum(best[rows], block.min(1).values)
            best[columns] = torch.minimum(best[columns], block.min(0).values)
    return best.sqrt()


def partners(features: Tensor, within: float) -> Tensor:
    """Return how many others of its own set lie within a distance of each example, its surface included: (N,)."""
    counts = torch.zeros(len(features), dtype=torch.int64, device=features.device)
    reach = within * (1 + 1e-9)  # one on the surface stays inside however its distance was rounded
    for start in range(0, len(features), BLOCK):
        rows = features[start : start + BLOCK]
        for other in range(start, len(features), BLOCK):
            block = squared_distances(rows, features[other : other + BLOCK])
            if other == start:
                block.fill_diagonal_(math.inf)
            inside = block.sqrt_() <= reach
            counts[start : start + BLOCK] += inside.sum(1)
            if other > start:
                counts[other : other + BLOCK] += inside.sum(0)
    return counts


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖xᵢ − yⱼ‖² in float64, (N, M), exactly 0 for equal vectors."""
    x, y = x.double(), y.double()
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    distances = torch.addmm(norms, x, y.T, alpha=-2)
    # the product rounds: below its error two vectors are one
    return distances.masked_fill_(distances <= 1e-13 * norms, 0)
