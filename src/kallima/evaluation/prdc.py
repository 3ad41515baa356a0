"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797), from balls that reach to the k-th nearest neighbour of an example in its own set, itself excluded.

precision: the share of generated examples in some real example's ball; recall: the same with the sets exchanged;
density: how many real balls a generated example lies in, over k; coverage: the share of real balls that hold one.
Precision and recall take k = 3, density and coverage k = 5, as their authors do. A ball includes its surface.
Distances are computed in blocks, each pair once: memory is that of the features and of a few blocks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.examples import Progress
from kallima.evaluation.nearest import BLOCK, squared_distances
from kallima.evaluation.score import Measure

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
    progress: Progress | None = None,
) -> Neighbourhoods:
    """Return precision, recall, density and coverage of features (N, d) and (M, d), two or more each.

    The work is done where the features are. `progress` hears of blocks of pairs.
    """
    n, m = _blocks(real), _blocks(generated)
    step = _steps(progress, n * (n + 1) // 2 + m * (m + 1) // 2 + n * m)
    few = min(len(real), len(generated)) - 1
    near, far = min(precision_neighbours, few), min(density_neighbours, few)
    real_near, real_far = _radii(real, near, far, step=step)
    (generated_near,) = _radii(generated, near, step=step)
    device = real.device
    in_real = torch.zeros(len(generated), dtype=torch.bool, device=device)
    balls = torch.zeros(len(generated), dtype=torch.int64, device=device)
    in_generated = torch.zeros(len(real), dtype=torch.bool, device=device)
    covered = torch.zeros(len(real), dtype=torch.bool, device=device)
    for i in range(0, len(real), BLOCK):
        rows = slice(i, i + BLOCK)
        for j in range(0, len(generated), BLOCK):
            columns = slice(j, j + BLOCK)
            distances = squared_distances(real[rows], generated[columns])
            in_real[columns] |= (distances <= real_near[rows, None]).any(0)
            in_generated[rows] |= (distances <= generated_near[columns]).any(1)
            inside = distances <= real_far[rows, None]
            balls[columns] += inside.sum(0)
            covered[rows] |= inside.any(1)
            step()
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


def _radii(features: Tensor, *neighbours: int, step: Callable[[], None]) -> list[Tensor]:
    """Return, for each k, the squared distance of every example to its k-th nearest other one."""
    most = max(neighbours)
    best = torch.full((len(features), most), math.inf, dtype=torch.float64, device=features.device)
    for i in range(0, len(features), BLOCK):
        rows = slice(i, i + BLOCK)
        for j in range(i, len(features), BLOCK):
            columns = slice(j, j + BLOCK)
            distances = squared_distances(features[rows], features[columns])
            if i == j:
                distances.fill_diagonal_(math.inf)
            else:
                best[columns] = _nearest(best[columns], distances.T, most)
            best[rows] = _nearest(best[rows], distances, most)
            step()
    radii = best * (1 + 1e-9)  # a neighbour on the surface stays inside however its distance was rounded
    return [radii[:, k - 1] for k in neighbours]


def _nearest(best: Tensor, distances: Tensor, count: int) -> Tensor:
    """Return the smallest `count` of each row of both, in ascending order."""
    near = distances.topk(min(count, distances.shape[1]), largest=False).values
    return torch.cat([best, near], 1).topk(count, largest=False, sorted=True).values


def _blocks(features: Tensor) -> int:
    return -(-len(features) // BLOCK)


def _steps(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("comparing neighbourhoods", done, total)

    return step
