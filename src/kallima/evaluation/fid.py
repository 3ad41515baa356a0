"""Fréchet distance of features (Heusel et al. 2017, arXiv:1706.08500).

FID = ‖μ₁ − μ₂‖² + Tr Σ₁ + Tr Σ₂ − 2 Tr (Σ₁Σ₂)^½, with unbiased covariances (the authors' too). The last trace is
Σ √λ of the symmetric Sᵀ Σ₂ S with Σ₁ = S Sᵀ, so no matrix square root and no imaginary part arises. With fewer
examples than features on both sides it is the nuclear norm of Xc Ycᵀ, Xc and Yc the centred features divided by
√(N − 1); on one side, Σ √λ of the small Xc Σ Xcᵀ.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.moments import FoldedMoments, Moments
from kallima.evaluation.score import Measure


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return the squared Fréchet distance between the Gaussians of two sets of moments (each of two or more)."""
    a, b = first.covariance, second.covariance
    root, failed = torch.linalg.cholesky_ex(a)
    if failed:  # rank-deficient: a feature that never moves
        values, vectors = torch.linalg.eigh(a)
        root = vectors * values.clamp(min=0).sqrt()
    cross = _sum_of_roots(root.T @ b @ root)
    distance = (first.mean - second.mean).square().sum() + a.trace() + b.trace() - 2 * cross
    return max(distance.item(), 0.0)


def frechet_distance_of_few(first: Tensor, second: Tensor) -> float:
    """Return the same distance between two sets of features (N, d), (M, d) without any d × d matrix."""
    first, second = first.double(), second.double()
    x, y = _centred(first), _centred(second)
    cross = torch.linalg.svdvals(x @ y.T).sum()
    distance = (first.mean(0) - second.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * cross
    return max(distance.item(), 0.0)


def frechet_distance_to_few(many: Moments, few: Tensor) -> float:
    """Return the same distance between moments and features (N, d), by an N × N matrix."""
    few = few.double()
    x, covariance = _centred(few), many.covariance
    cross = _sum_of_roots(x @ covariance @ x.T)
    distance = (many.mean - few.mean(0)).square().sum() + covariance.trace() + x.square().sum() - 2 * cross
    return max(distance.item(), 0.0)


def fid(real: Tensor | FoldedMoments, generated: Tensor | FoldedMoments) -> Measure:
    """Return the Fréchet distance between features (N, d) and (M, d), its error by a jackknife over folds.

    Either side may be given as what a `FoldedMoments` has gathered in constant memory: the result is the same. A side
    whose folds are unknown, such as published statistics, is held fixed in the jackknife.

    Raises:
        DataError: the features differ in width.
    """
    first, second = _gathered(real), _gathered(generated)
    width = first.width
    if second.width != width:
        raise DataError(
            f"the generated features have {second.width:,} numbers each, the others {width:,}: "
            "take both from one extractor"
        )
    counts = [side.count for side in (first, second) if side.count is not None]
    count = min(counts, default=None)
    few = count is not None and count <= width
    movable = [side for side in (first, second) if side.folds > 1]
    # a trace costs seconds at d = 2048
    folds = min([side.folds for side in movable] + [n // 2 for n in counts], default=0) if movable else 0
    leave_out = _leaving_out(first, second, folds)
    value = leave_out(None)
    spread, method = None, None
    if folds >= 2:
        replicates = torch.tensor([leave_out(fold) for fold in range(folds)], dtype=torch.float64)
        spread = math.sqrt((folds - 1) * replicates.var(correction=0).item())
        method = f"jackknife over {folds} folds"
        if len(movable) < 2:
            method += f" of the {'generated' if movable[0] is second else 'real'} examples, the others given"
    return Measure(value, spread, method, (_bias(width, count),) if few and count is not None else ())


def _gathered(features: Tensor | FoldedMoments) -> FoldedMoments:
    return features if isinstance(features, FoldedMoments) else FoldedMoments.of(features)


def _bias(width: int, count: int) -> str:
    return f"{width:,} features but {count:,} examples: FID is biased up"


def _leaving_out(real: FoldedMoments, generated: FoldedMoments, folds: int) -> Callable[[int | None], float]:
    def distance(fold: int | None) -> float:
        # published and cached statistics come on the CPU
        first, second = (
            side.without(fold if side.folds > 1 else None, folds).to(generated.device) for side in (real, generated)
        )
        match first, second:
            case Tensor(), Tensor():
                return frechet_distance_of_few(first, second)
            case Tensor(), Moments():
                return frechet_distance_to_few(second, first)
            case Moments(), Tensor():
                return frechet_distance_to_few(first, second)
        assert isinstance(first, Moments)
        assert isinstance(second, Moments)
        return frechet_distance(first, second)

    return distance


def _centred(features: Tensor) -> Tensor:
    return (features - features.mean(0)) / math.sqrt(len(features) - 1)


def _sum_of_roots(symmetric: Tensor) -> Tensor:
    """Return Σ √λ of a positive semidefinite matrix, its rounding below zero cut off."""
    return torch.linalg.eigvalsh(symmetric).clamp(min=0).sqrt().sum()
