"""Perceptual path length (Karras et al. 2019, arXiv:1812.04948): how abruptly images change on the way between codes.

The mean of d(g(path(t)), g(path(t + ε))) / ε² over ends drawn at random and t uniform in [0, 1]. Published figures take
d = LPIPS, ε = 1e-4, slerp for codes on the sphere, lerp for those of a mapping network, and leave out the lowest and
the highest hundredth. With another distance the figures compare only among themselves.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.score import Measure
from kallima.sampling.interpolation import slerp

Path = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Ends (N, d), (N, d) and positions (N, 1) in [0, 1] -> points on the way (N, d)."""

EPSILON = 1e-4
TRIM = 0.01


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖x − y‖² of pairs (N, …), float64 (N,)."""
    return (x.double() - y.double()).flatten(1).square().sum(1)


def perceptual_path_length(
    generate: Callable[[Tensor], Tensor],
    first: Tensor,
    second: Tensor,
    *,
    distance: Callable[[Tensor, Tensor], Tensor] = squared_difference,
    path: Path = slerp,
    epsilon: float = EPSILON,
    trim: float = TRIM,
    batch_size: int = 64,
    seed: int = 0,
) -> Measure:
    """Return the mean path length over pairs of codes (N, d) drawn by the caller.

    `generate` turns codes into images or their features (B, …), `distance` compares two such batches and grows like the
    square of a small difference: the squared Euclidean one by default, so that features of any extractor do. The share
    `trim` of the lowest values and of the highest is left out.

    Raises:
        DataError: the codes are broken or of unlike shapes, or the generator or the distance gives NaN.
    """
    if first.ndim != 2 or first.shape != second.shape or not first.numel():
        raise DataError(f"codes {tuple(first.shape)} and {tuple(second.shape)}: they need one shape (N, d)")
    if not (first.isfinite().all() and second.isfinite().all()):
        raise DataError("the codes hold NaN or infinity")
    if not 0 <= trim < 0.5 or not 0 < epsilon < 1:
        raise DataError(f"trim {trim} needs to be in [0, 0.5) and epsilon {epsilon} in (0, 1)")
    rng = torch.Generator().manual_seed(seed)
    where = torch.rand(len(first), 1, generator=rng, dtype=torch.float64).to(first)
    found = []
    with torch.no_grad():
        for a, b, t in zip(*(x.split(batch_size) for x in (first, second, where)), strict=True):
            one, other = generate(path(a, b, t)), generate(path(a, b, t + epsilon))
            found.append(distance(one, other).double().cpu().flatten() / epsilon**2)
    values = np.sort(torch.cat(found).numpy())
    if len(values) != len(first) or not np.isfinite(values).all():
        raise DataError("the distances are not one finite number a pair: look at the generator and the distance")
    cut = int(trim * len(values))
    kept = values[cut : len(values) - cut]
    note = f"ε = {epsilon:g}, {len(values):,} pairs, {2 * cut:,} extreme ones left out"
    notes = (note,)
    if len(values) < 2:
        return Measure(float(kept.mean()), notes=notes)
    # Tukey & McLaughlin 1963
    held = np.clip(values, kept[0], kept[-1]).std(ddof=1)
    spread = float(held) * math.sqrt(len(values)) / len(kept)
    return Measure(float(kept.mean()), spread, "standard error of the trimmed mean over pairs", notes)
