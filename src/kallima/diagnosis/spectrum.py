"""Checkerboards: the pattern that strided transposed convolutions leave (Odena et al. 2016), seen in the spectrum.

A pattern of period 2 or 4 pixels is a peak of the power spectrum at a half or a quarter of the sampling frequency.
Images of the world have no peaks there: their power falls smoothly, and next to a frequency it is about the same.
"""

import math

import torch
from torch import Tensor

PERIODS = (2, 4)
LEAST_SIZE = 8  # pixels: below it the frequencies have no neighbours


def peaks(images: Tensor) -> Tensor:
    """Return the power of each peak over the median of its neighbours', (P,); images are (N, C, H, W).

    The peaks are those along rows, along columns and along both, for each period.
    """
    height, width = images.shape[-2:]
    centred = images - images.mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(centred.double()).abs().square().mean((0, 1))
    found = []
    for period in PERIODS:
        rows, columns = height // period, width // period
        for u, v in ((rows, 0), (0, columns), (rows, columns)):
            around = [(u + i, v + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i or j)]
            beside = torch.stack([power[i % height, j % width] for i, j in around if (i % height or j % width)])
            found.append(power[u, v] / beside.median().clamp_min(1e-12))
    return torch.stack(found)


def checkerboard(images: Tensor, real_peaks: Tensor) -> float:
    """Return by how many powers of ten the strongest peak exceeds the data's; 0 where it does not."""
    ratio = peaks(images) / real_peaks.to(images.device).clamp_min(1e-3)
    return max(0.0, math.log10(max(float(ratio.max()), 1e-12)))
