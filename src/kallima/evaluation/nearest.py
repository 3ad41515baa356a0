"""Nearest neighbours in blocks: memory is linear in the number of examples, however many there are."""

import math

import torch
from torch import Tensor

BLOCK = 2048


def nearest(queries: Tensor, references: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Return each query's `count` nearest references: distances float64 (N, count), ascending, and indices (N, count).

    `queries` are (N, d), `references` (M, d) with M ≥ count. A copy is at distance 0 exactly.
    """
    distances, indices = [], []
    for rows in queries.split(BLOCK):
        best = torch.full((len(rows), count), math.inf, dtype=torch.float64, device=rows.device)
        which = torch.zeros((len(rows), count), dtype=torch.int64, device=rows.device)
        for start in range(0, len(references), BLOCK):
            block = squared_distances(rows, references[start : start + BLOCK])
            best, which = _merge(best, which, block, start)
        distances.append(best.sqrt())
        indices.append(which)
    return torch.cat(distances), torch.cat(indices)


def nearest_other(features: Tensor) -> Tensor:
    """Return each example's distance to the nearest other one of its own set (N, d): float64 (N,)."""
    distances = []
    for start in range(0, len(features), BLOCK):
        rows = features[start : start + BLOCK]
        best = torch.full((len(rows),), math.inf, dtype=torch.float64, device=features.device)
        for other in range(0, len(features), BLOCK):
            block = squared_distances(rows, features[other : other + BLOCK])
            if other == start:
                block.fill_diagonal_(math.inf)
            best = torch.minimum(best, block.min(1).values)
        distances.append(best.sqrt())
    return torch.cat(distances)


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


def _merge(best: Tensor, which: Tensor, block: Tensor, start: int) -> tuple[Tensor, Tensor]:
    columns = torch.arange(start, start + block.shape[1], device=block.device).expand(len(block), -1)
    best, order = torch.cat([best, block], 1).topk(best.shape[1], largest=False, sorted=True)
    return best, torch.cat([which, columns], 1).gather(1, order)
