"""The low-pass filter 1-3-3-1 (Zhang 2019, arXiv:1904.11486; Karras et al. 2019, arXiv:1812.04948)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blur(nn.Module):
    """Filters each channel by 1-3-3-1, down and across, whose sum is `gain`; `padding` zeros on each side.

    Sizes become H + 2 · padding − 3. A `gain` of 4 makes up for the zeros between the pixels of a transposed
    convolution of stride 2.
    """

    kernel: Tensor

    def __init__(self, *, padding: int, gain: float = 1.0):
        super().__init__()
        self.padding = padding
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", gain * row[:, None] * row)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        channels = x.shape[1]
        each = self.kernel.to(x.dtype).expand(channels, 1, *self.kernel.shape)
        return F.conv2d(x, each, padding=self.padding, groups=channels)
