"""What a compressed image costs: its bits, and its error at their exchange rate."""

import math

import torch
from torch import Tensor

PEAK = 255.0


def bits_per_pixel(probabilities: Tensor, pixels: int) -> Tensor:
    """Return −Σ log2 p of the probabilities (N, …) of an image's latents, a pixel: the mean over images, a scalar."""
    return -probabilities.log2().flatten(1).sum(1).mean() / pixels


def traded_error(made: Tensor, images: Tensor, trade: float) -> Tensor:
    """Return λ 255² MSE, a scalar: the mean squared error of images (N, C, H, W) in [-1, 1] at λ bits a grey level²."""
    return trade * (PEAK / 2) ** 2 * (made - images).square().mean()


def normal_bin(values: Tensor, scales: Tensor) -> Tensor:
    """Return the probability of [v − ½, v + ½] under a normal distribution around 0, for each value and deviation.

    It is computed from the tail in which v lies, where both cumulative values are small (1802.01436, appendix 6.2).
    """
    away = values.abs()
    return _below((0.5 - away) / scales) - _below((-0.5 - away) / scales)


def _below(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))
