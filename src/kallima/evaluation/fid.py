"""Fréchet distance of features (Heusel et al. 2017, arXiv:1706.08500).

FID = ‖μ₁ − μ₂‖² + Tr Σ₁ + Tr Σ₂ − 2 Tr (Σ₁Σ₂)^½, with unbiased covariances (the authors' too). The last trace is
Σ √λ of the symmetric Sᵀ Σ₂ S with Σ₁ = S Sᵀ, so no matrix square root and no imaginary part arises. With fewer
examples than features it is the nuclear norm of Xc Ycᵀ, Xc and Yc the centred features divided by √(N − 1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.score import Measure

BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """Count, mean (d,) and scatter Σ (x − mean)(x − mean)ᵀ (d, d) of features, in float64."""

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Gather the moments of features (N, d) in blocks."""
        total: Moments | None = None
        for block in features.split(BLOCK):
            block = block.double()
            mean = block.mean(0)
            centred = block - mean
            part = cls(len(block), mean, centred.T @ centred)
            total = part if total is None else total.merge(part)
        assert total is not None
        return total

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        between = torch.outer(gap, gap) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (d, d)."""
        return self.scatter / (self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return the squared Fréchet distance between the Gaussians of two sets of moments (each of two or more)."""
    a, b = first.covariance, second.covariance
    root, failed = torch.linalg.cholesky_ex(a)
    if failed:  # rank-deficient: a feature that never moves
        values, vectors = torch.linalg.eigh(a)
        root = vectors * values.clamp(min=0).sqrt()
    cross = torch.linalg.eigvalsh(root.T @ b @ root).clamp(min=0).sqrt().sum()
    distance = (first.mean - second.mean).square().sum() + a.trace() + b.trace() - 2 * cross
    return max(distance.item(), 0.0)


def frechet_distance_of_few(first: Tensor, second: Tensor) -> float:
    """Return the same distance between two sets of features (N, d), (M, d) without any d × d matrix."""
    first, second = first.double(), second.double()
    x = (first - first.mean(0)) / math.sqrt(len(first) - 1)
    y = (second - second.mean(0)) / math.sqrt(len(second) - 1)
    cross = torch.linalg.svdvals(x @ y.T).sum()
    distance = (first.mean(0) - second.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * cross
    return max(distance.item(), 0.0)


def fid(real: Tensor, generated: Tensor) -> Measure:
    """Return the Fréchet distance between features (N, d) and (M, d), its error by a jackknife over folds."""
    count, width = min(len(real), len(generated)), real.shape[1]
    # a trace costs seconds at d = 2048
    folds = min(10 if width <= 256 else 5, count // 2)
    few = count <= width
    leave_out = _few_without(real, generated, folds) if few else _moments_without(real, generated, folds)
    value = leave_out(None)
    spread = None
    if folds >= 2:
        replicates = torch.tensor([leave_out(fold) for fold in range(folds)], dtype=torch.float64)
        spread = math.sqrt((folds - 1) * replicates.var(correction=0).item())
    method = f"jackknife over {folds} folds" if spread is not None else None
    return Measure(value, spread, method, (_bias(width, count),) if few else ())


def _bias(width: int, count: int) -> str:
    return f"{width:,} features but {count:,} examples: FID is biased up"


def _few_without(real: Tensor, generated: Tensor, folds: int) -> Callable[[int | None], float]:
    def kept(features: Tensor, fold: int | None) -> Tensor:
        if fold is None:
            return features
        return features[torch.arange(len(features), device=features.device) % folds != fold]

    def distance(fold: int | None) -> float:
        return frechet_distance_of_few(kept(real, fold), kept(generated, fold))

    return distance


def _moments_without(real: Tensor, generated: Tensor, folds: int) -> Callable[[int | None], float]:
    folds = max(folds, 1)
    parts = [[Moments.of(x[fold::folds]) for fold in range(folds)] for x in (real, generated)]

    def distance(fold: int | None) -> float:
        return frechet_distance(*(_merged([p for i, p in enumerate(some) if i != fold]) for some in parts))

    return distance


def _merged(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total
