"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797), from balls that reach to the k-th nearest neighbour of an example in its own set, itself excluded.

precision: the share of generated examples in some real example's ball; recall: the same with the sets exchanged;
density: how many real balls a generated example lies in, over k; coverage: the share of real balls that hold one.
Precision and recall take k = 3, density and coverage k = 5, as their authors do. A ball includes its surface.
Distances are computed in blocks: memory is linear in the number of examples.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.score import Measure

BLOCK = 2048
PRECISION_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
_SPREAD = "standard error of the mean over examples, the balls given"


@dataclass(frozen=True)
class Neighbourhoods:
    """The four measures of one pair of sets."""

    precision: Measure
    recall: Measure
    density: Measure
    coverage: Measure


def neighbourhoods(
    real: Tensor,
    generated: Tensor,
    *,
    precision_neighbours: int = PRECISION_NEIGHBOURS,
    density_neighbours: int = DENSITY_NEIGHBOURS,
) -> Neighbourhoods:
    """Return precision, recall, density and coverage of features (N, d) and (M, d), two or more each."""
    few = min(len(real), len(generated)) - 1
    near, far = min(precision_neighbours, few), min(density_neighbours, few)
    real_near, real_far = _radii(real, near, far)
    (generated_near,) = _radii(generated, near)
    device = real.device
    in_real = torch.zeros(len(generated), dtype=torch.bool, device=device)
    balls = torch.zeros(len(generated), dtype=torch.int64, device=device)
    in_generated = torch.zeros(len(real), dtype=torch.bool, device=device)
    covered = torch.zeros(len(real), dtype=torch.bool, device=device)
    for i in range(0, len(real), BLOCK):
        rows = slice(i, i + BLOCK)
        for j in range(0, len(generated), BLOCK):
            columns = slice(j, j + BLOCK)
            distances = _squared_distances(real[rows], generated[columns])
            in_real[columns] |= (distances <= real_near[rows, None]).any(0)
            in_generated[rows] |= (distances <= generated_near[columns]).any(1)
            inside = distances <= real_far[rows, None]
            balls[columns] += inside.sum(0)
            covered[rows] |= inside.any(1)
    twins = int((real_far == 0).sum())
    notes = (f"{twins:,} real examples have {far} exact copies: their balls are points",) if twins else ()
    return Neighbourhoods(
        _mean(in_real, (f"k = {near} nearest neighbours", *notes)),
        _mean(in_generated, (f"k = {near} nearest neighbours", *notes)),
        _mean(balls.double() / far, (f"k = {far} nearest neighbours", *notes)),
        _mean(covered, (f"k = {far} nearest neighbours", *notes)),
    )


def _mean(values: Tensor, notes: tuple[str, ...]) -> Measure:
    values = values.double()
    return Measure(values.mean().item(), values.std().item() / math.sqrt(len(values)), _SPREAD, notes)


def _radii(features: Tensor, *neighbours: int) -> list[Tensor]:
    """Return, for each k, the squared distance of every example to its k-th nearest other one."""
    nearest = []
    for i in range(0, len(features), BLOCK):
        rows = features[i : i + BLOCK]
        best = torch.full((len(rows), max(neighbours)), math.inf, dtype=torch.float64, device=features.device)
        for j in range(0, len(features), BLOCK):
            distances = _squared_distances(rows, features[j : j + BLOCK])
            if i == j:
                distances.fill_diagonal_(math.inf)
            best = torch.cat([best, distances], 1).topk(max(neighbours), largest=False, sorted=True).values
        nearest.append(best)
    radii = torch.cat(nearest) * (1 + 1e-9)  # a neighbour on the surface stays inside however its distance was rounded
    return [radii[:, k - 1] for k in neighbours]


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖xᵢ − yⱼ‖² in float64, (N, M), exactly 0 for equal vectors."""
    x, y = x.double(), y.double()
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    distances = torch.addmm(norms, x, y.T, alpha=-2)
    # the product rounds: below its error two vectors are one, else copies would miss balls of radius 0
    return distances.masked_fill_(distances <= 1e-13 * norms, 0)
