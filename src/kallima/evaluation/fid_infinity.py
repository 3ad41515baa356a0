"""FID without its bias (Chong & Forsyth 2020, arXiv:1911.07023): the distance at several N, extrapolated to infinity.

FID of finite sets is too high by about a constant over N that depends on the generator, so rankings at one N can be
wrong. The distances at N, N/2, N/3, … lie close to a line in 1/N; where it meets 0 is FID∞.

Our form differs in two things. Both sets are thinned, not the generated alone: the bias of the real ones goes too, and
equal distributions give 0 on average. And each N/k is the mean over k disjoint parts, so that every size rests on
all examples.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.arrays import Array
from kallima.evaluation.fid import Moments, frechet_distance, frechet_distance_of_few
from kallima.evaluation.inputs import feature_sets, random_order
from kallima.evaluation.score import Measure

PARTS = 5


@dataclass(frozen=True)
class Extrapolation:
    """FID at several numbers of examples, largest first, and the line a + b/N that fits them best."""

    counts: tuple[int, ...]
    distances: tuple[float, ...]
    intercept: float
    slope: float


def extrapolate(real: Array, generated: Array, *, seed: int = 0) -> Extrapolation:
    """Return the FID of features (N, d) and (M, d) at up to five sizes, and its line in 1/N; `seed` deals the parts.

    The smallest parts hold twice as many examples as there are features where that leaves two sizes.

    Raises:
        DataError: there are fewer than four of either, or they do not go together, or hold NaN.
    """
    return _extrapolate(*_shuffled(real, generated, seed))


def fid_infinity(real: Array, generated: Array, *, seed: int = 0) -> Measure:
    """Return the extrapolated FID of features (N, d) and (M, d), which can be below 0 for close distributions.

    The notes give FID at each N. The error is a jackknife over folds of both sets.

    Raises:
        DataError: as for `extrapolate`.
    """
    truth, samples = _shuffled(real, generated, seed)
    whole = _extrapolate(truth, samples)
    width, fewest = truth.shape[1], whole.counts[-1]
    at = ", ".join(f"{d:.4g} at {n:,}" for n, d in zip(whole.counts, whole.distances, strict=True))
    notes = [f"FID {at}"]
    if fewest < 2 * width:
        notes.append(f"{fewest:,} examples in the smallest part for {width:,} features: no straight line there")
    folds = min(10 if width <= 256 else 5, min(len(truth), len(samples)) // 4)
    if folds < 2:
        return Measure(whole.intercept, None, None, tuple(notes))
    parts = len(whole.counts)
    replicates = torch.tensor(
        [
            _extrapolate(_without(truth, fold, folds), _without(samples, fold, folds), parts).intercept
            for fold in range(folds)
        ],
        dtype=torch.float64,
    )
    spread = math.sqrt((folds - 1) * replicates.var(correction=0).item())
    return Measure(whole.intercept, spread, f"jackknife over {folds} folds", tuple(notes))


def _shuffled(real: Array, generated: Array, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    sets = feature_sets({"real": real, "generated": generated}, 4)
    truth, samples = (x[random_order(x, rng)] for x in sets)
    return truth, samples


def _without(features: Tensor, fold: int, folds: int) -> Tensor:
    return features[torch.arange(len(features), device=features.device) % folds != fold]


def _extrapolate(real: Tensor, generated: Tensor, parts: int | None = None) -> Extrapolation:
    count, width = min(len(real), len(generated)), real.shape[1]
    if parts is None:
        parts = max(2, min(PARTS, count // (2 * width), count // 2))
    counts, distances = [], []
    for k in range(1, parts + 1):
        pieces = list(zip(real.tensor_split(k), generated.tensor_split(k), strict=True))
        distances.append(sum(_distance(*piece) for piece in pieces) / k)
        # sets of unlike size have the bias of their harmonic mean
        counts.append(round(2 / (1 / len(real) + 1 / len(generated)) / k))
    inverse = torch.arange(1, parts + 1, dtype=torch.float64) * (1 / len(real) + 1 / len(generated)) / 2
    values = torch.tensor(distances, dtype=torch.float64)
    centred = inverse - inverse.mean()
    slope = ((centred * values).sum() / centred.square().sum()).item()
    return Extrapolation(tuple(counts), tuple(distances), values.mean().item() - slope * inverse.mean().item(), slope)


def _distance(real: Tensor, generated: Tensor) -> float:
    if min(len(real), len(generated)) <= real.shape[1]:
        return frechet_distance_of_few(real, generated)
    return frechet_distance(Moments.of(real), Moments.of(generated))
