"""Sliced Wasserstein distance of image patches (Karras et al. 2018, arXiv:1710.10196, §5): texture at each scale.

Each image becomes a Laplacian pyramid, halved while the side stays 16 pixels or more (images below 32 pixels are
halved once, down to 8, else they would have no level that shows blur); 7×7 patches are drawn from every
level, each channel scaled by its mean and deviation over the real patches of that level; and the patches of both sets
are compared by their Wasserstein-1 distance along random directions: the mean gap between the sorted projections. The
value is 10³ times the mean over levels and directions, as published. It needs no extractor.

Our form differs in size (up to 2,048 images and 16 patches of each, against 16,384 and 128) and in that both sets are
scaled by the real ones' mean and deviation: each by its own would hide a wrong brightness or contrast. Fewer images
bias it up, so compare equal counts.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import image_sets, random_order
from kallima.evaluation.score import Measure

IMAGES = 2048
PATCHES = 16
DIRECTIONS = 128
_PATCH = 7
_COARSEST = 16
_COARSEST_OF_SMALL = 8
_FOLDS = 5
_AT_ONCE = 16


def sliced_wasserstein(real: Array, generated: Array, *, seed: int = 0) -> Measure:
    """Return the distance between patches of images uint8 (N, H, W, C) and (M, H, W, C), with sides of 7 or more.

    As many of the larger set, drawn with `seed`, as the smaller has. The error is a jackknife over folds of the images,
    the directions given.

    Raises:
        DataError: the images are not uint8 of one size, fewer than two, or smaller than a patch.
    """
    truth, samples = image_sets({"real": real, "generated": generated})
    if min(truth.shape[1:3]) < _PATCH:
        raise DataError(f"images of {truth.shape[1]}×{truth.shape[2]} pixels hold no patch of {_PATCH}×{_PATCH}")
    rng = torch.Generator().manual_seed(seed)
    count = min(len(truth), len(samples), IMAGES)
    chosen = [some[random_order(some, rng)[:count]] for some in (truth, samples)]
    # equal folds: the sorted projections of as many are compared
    folds = min(_FOLDS, count)
    count -= count % folds
    pyramids = [laplacian_pyramid(some[:count]) for some in chosen]
    levels, names, constant = [], [], False
    for real_level, generated_level in zip(*pyramids, strict=True):
        # both sets are cut at the same places
        places = _places(count, real_level, rng)
        a, b = (_patches(level, places) for level in (real_level, generated_level))
        deviation, mean = torch.std_mean(a, dim=(0, 1), correction=0)
        constant |= bool((deviation == 0).any())
        deviation = deviation.where(deviation > 0, 1 / 255)
        a, b = (((x - mean) / deviation).flatten(1) for x in (a, b))
        levels.append(_gaps(a, b, rng, folds))
        names.append(f"{real_level.shape[2]}×{real_level.shape[3]}")
    gaps = 1e3 * torch.stack(levels)
    value, *replicates = gaps.mean(0).tolist()
    by_level = ", ".join(f"{name}: {gap:.3g}" for name, gap in zip(names, gaps[:, 0].tolist(), strict=True))
    notes = [f"by level {by_level}", f"×10³, {count:,} images, {PATCHES} patches each, {DIRECTIONS} directions"]
    if constant:
        notes.append("the real images never vary in a channel: it is measured in grey levels")
    spread = math.sqrt((folds - 1) * torch.tensor(replicates, dtype=torch.float64).var(correction=0).item())
    return Measure(value, spread, f"jackknife over {folds} folds, the directions given", tuple(notes))


def sliced_distance(x: Tensor, y: Tensor, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Return the sliced Wasserstein-1 distance between as many vectors (N, d) each, over random directions."""
    if x.shape != y.shape:
        raise DataError(f"sets of shapes {tuple(x.shape)} and {tuple(y.shape)}: a sliced distance needs equal counts")
    return _gaps(x, y, torch.Generator().manual_seed(seed), 0, directions)[0].item()


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Return images uint8 (N, H, W, C) as levels float32 (N, C, h, w) in units of the range, finest first.

    Each level is what the next, enlarged, lacks; the last is what remains. They sum up to the image.
    """
    current = images.permute(0, 3, 1, 2).float() / 255
    levels = []
    side = min(current.shape[2:])
    coarsest = _COARSEST if side >= 2 * _COARSEST else max(_COARSEST_OF_SMALL, side // 2)
    while min(current.shape[2:]) // 2 >= coarsest:
        coarser = F.interpolate(current, scale_factor=0.5, mode="bilinear", antialias=True)
        enlarged = F.interpolate(coarser, size=current.shape[2:], mode="bilinear", align_corners=False)
        levels.append(current - enlarged)
        current = coarser
    return [*levels, current]


def _places(count: int, level: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    rows, columns = (side - _PATCH + 1 for side in level.shape[2:])
    return (
        torch.randint(rows, (count, PATCHES), generator=rng),
        torch.randint(columns, (count, PATCHES), generator=rng),
    )


def _patches(level: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return the patches (N · patches, 49, C) of a level (N, C, h, w)."""
    within = torch.arange(_PATCH)
    rows = places[0][..., None, None] + within[:, None]
    columns = places[1][..., None, None] + within
    which = torch.arange(len(level))[:, None, None, None]
    return level.permute(0, 2, 3, 1)[which, rows, columns].reshape(-1, _PATCH * _PATCH, level.shape[1])


def _gaps(x: Tensor, y: Tensor, rng: torch.Generator, folds: int, directions: int = DIRECTIONS) -> Tensor:
    """Return the mean gap between sorted projections: of all vectors, then without each fold; (1 + folds,).

    Folds are equal runs of vectors.
    """
    axes = F.normalize(torch.randn(x.shape[1], directions, generator=rng, dtype=torch.float64), dim=0).to(x)
    sums = np.zeros(1 + folds)
    for some in axes.split(_AT_ONCE, dim=1):
        for a, b in zip(*((z @ some).T.contiguous().cpu().numpy() for z in (x, y)), strict=True):
            sums[0] += _gap(a, b)
            for fold in range(folds):
                # numpy sorts some fifty times faster than torch, so the folds cost little
                start, stop = fold * len(a) // folds, (fold + 1) * len(a) // folds
                sums[1 + fold] += _gap(*(np.concatenate([z[:start], z[stop:]]) for z in (a, b)))
    return torch.from_numpy(sums / directions)


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.sort(a) - np.sort(b)).mean(dtype=np.float64))
