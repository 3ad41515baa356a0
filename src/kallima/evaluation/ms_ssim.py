"""Structural similarity of images: SSIM (Wang et al. 2004), MS-SSIM (Wang, Simoncelli & Bovik 2003), and the mean
MS-SSIM between generated images as a measure of their diversity (Odena et al. 2017, arXiv:1610.09585).

SSIM compares luminance, contrast and structure under an 11-tap Gaussian window of σ = 1.5, wherever the window fits;
K₁ = .01, K₂ = .03. MS-SSIM is a product over up to five scales, halved by 2×2 means, of contrast and structure, with
luminance at the coarsest. Channels are averaged before the product; negative similarities count as 0.

Small images: five scales need sides of 176 pixels. Smaller ones get as many scales as the window fits (three at 64
pixels, two at 28) and the published weights of these, renormalised; below 11 pixels the window shrinks to the side.
Values of different numbers of scales do not compare, so `scales` says how many there are.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import by_class, class_labels, image_sets, listed, random_order, tensor_of
from kallima.evaluation.score import Measure

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, finest first."""

PAIRS = 2000
_WINDOW = 11
_SIGMA = 1.5
_BLOCK = 256


def scales(height: int, width: int) -> int:
    """Return how many scales of MS-SSIM, one to five, images of this size get."""
    side, count = min(height, width) // 2, 1
    while side >= _WINDOW and count < len(WEIGHTS):
        side, count = side // 2, count + 1
    return count


def describe(height: int, width: int) -> str:
    """Say in words how MS-SSIM looks at images of this size."""
    count, taps = scales(height, width), _taps(height, width)
    window = "" if taps == _WINDOW else f", a window of {taps} pixels"
    return f"MS-SSIM at {count} {'scale' if count == 1 else 'scales'} of 5{window}"


def ssim(x: Array, y: Array, *, peak: float = 255.0) -> Tensor:
    """Return the structural similarity of image pairs (N, H, W, C) with values in [0, peak]: float64 (N,), 1 for equal.

    Raises:
        DataError: the shapes differ or are not (N, H, W, C), or a value is NaN or outside of the range.
    """
    return torch.cat([_similarity(a, b, peak)[0].clamp(max=1) for a, b in _blocks(x, y, peak)])


def ms_ssim(x: Array, y: Array, *, peak: float = 255.0) -> Tensor:
    """Return the multi-scale similarity of image pairs (N, H, W, C) with values in [0, peak]: float64 (N,), in [0, 1].

    Raises:
        DataError: as for `ssim`.
    """
    return torch.cat([_multi_scale(a, b, peak) for a, b in _blocks(x, y, peak)])


def ms_ssim_diversity(
    generated: Array,
    labels: Array | None = None,
    *,
    real: Array | None = None,
    real_labels: Array | None = None,
    pairs: int = PAIRS,
    seed: int = 0,
) -> Measure:
    """Return the mean MS-SSIM over random disjoint pairs of images uint8 (N, H, W, C): low is diverse.

    With labels (N,), given or predicted, pairs are of one class and classes count alike: across classes images differ
    anyway, and collapse within them would not show. Up to `pairs` in all. The value of the real images goes into the
    notes where they are given, with labels too where the generated have them: nothing is won below it.

    Raises:
        DataError: the images are not uint8 or fewer than two, or no class has two.
    """
    (images,) = image_sets({"generated": generated})
    value, spread, left_out = _mean_over_pairs(images, labels, pairs, seed, "generated")
    notes = [describe(*images.shape[1:3])]
    if labels is None:
        notes.append("pairs of all images, of one class or not")
    if left_out:
        notes.append(f"classes with fewer than two images are left out: {listed(left_out)}")
    if real is not None and (labels is None or real_labels is not None):
        (truth,) = image_sets({"real": real})
        reference, error, _ = _mean_over_pairs(truth, real_labels if labels is not None else None, pairs, seed, "real")
        notes.append(f"real images have {reference:.3g}" + ("" if error is None else f" ± {error:.1g}"))
    return Measure(value, spread, "standard error over disjoint pairs" if spread is not None else None, tuple(notes))


def _mean_over_pairs(
    images: Tensor, labels: Array | None, pairs: int, seed: int, name: str
) -> tuple[float, float | None, list[str]]:
    rng = torch.Generator().manual_seed(seed)
    known = torch.zeros(len(images), dtype=torch.int64) if labels is None else class_labels(labels, len(images), name)
    order = random_order(images, rng).cpu()
    members = {c: order[places] for c, (places,) in by_class(labels=known.cpu()[order]).items()}
    left_out = [str(c) for c, indices in members.items() if len(indices) < 2]
    kept = [indices for indices in members.values() if len(indices) >= 2]
    if not kept:
        raise DataError(f"no class has two {name} images: MS-SSIM compares pairs of one class")
    means, variances = [], []
    for indices in kept:
        count = min(len(indices) // 2, max(2, pairs // len(kept)))
        x, y = images[indices[:count]], images[indices[count : 2 * count]]
        values = ms_ssim(x, y)
        means.append(values.mean().item())
        variances.append(values.var().item() / count if count > 1 else math.nan)
    error = math.sqrt(sum(variances)) / len(kept)
    return sum(means) / len(means), None if math.isnan(error) else error, left_out


def _blocks(x: Array, y: Array, peak: float) -> list[tuple[Tensor, Tensor]]:
    x, y = tensor_of(x), tensor_of(y)
    if x.shape != y.shape or x.ndim != 4 or 0 in x.shape:
        raise DataError(
            f"images of shapes {tuple(x.shape)} and {tuple(y.shape)}: they need to be (N, H, W, C), and equal"
        )
    for images in (x, y):
        # NaN fails the comparison too
        if not (images.min() >= 0 and images.max() <= peak):
            raise DataError(f"image values leave the range from 0 to {peak:g}, or are NaN")
    return list(zip(x.split(_BLOCK), y.split(_BLOCK), strict=True))


def _multi_scale(x: Tensor, y: Tensor, peak: float) -> Tensor:
    count = scales(*x.shape[1:3])
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64)
    weights /= weights.sum()
    product = torch.ones(len(x), dtype=torch.float64, device=x.device)
    for scale, weight in enumerate(weights.tolist()):
        if scale:
            x, y = _halved(x), _halved(y)
        whole, contrast = _similarity(x, y, peak)
        product *= (whole if scale == count - 1 else contrast).clamp(0, 1) ** weight
    return product


def _halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images.permute(0, 3, 1, 2).double(), 2).permute(0, 2, 3, 1)


def _taps(height: int, width: int) -> int:
    side = min(height, width, _WINDOW)
    return side if side % 2 else side - 1


def _similarity(x: Tensor, y: Tensor, peak: float) -> tuple[Tensor, Tensor]:
    """Return SSIM and its factor of contrast and structure, each (N,), averaged over places and channels."""
    count, height, width, _ = x.shape
    x, y = (images.permute(0, 3, 1, 2).double().reshape(-1, 1, height, width) for images in (x, y))
    taps = _taps(height, width)
    steps = torch.arange(taps, dtype=torch.float64, device=x.device) - taps // 2
    window = torch.exp(-(steps**2) / (2 * _SIGMA**2))
    window /= window.sum()
    stacked = torch.cat([x, y, x * x, y * y, x * y])
    smooth = F.conv2d(F.conv2d(stacked, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    mean_x, mean_y, xx, yy, xy = smooth.split(len(x))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    variances = (xx - mean_x**2).clamp(min=0) + (yy - mean_y**2).clamp(min=0)
    contrast = (2 * (xy - mean_x * mean_y) + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).reshape(count, -1).mean(1), contrast.reshape(count, -1).mean(1)
