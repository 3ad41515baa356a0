"""Pixel-wise normalisation of feature vectors (Karras et al. 2018, arXiv:1710.10196, section 4.2)."""

from torch import Tensor, nn

EPSILON = 1e-8


class PixelNorm(nn.Module):
    """x / √(mean over the channels of x² + ε), place by place: features of unit length, times √C. Nothing is learned.

    It keeps features from growing without end where generator and discriminator outbid each other.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) to the same shape."""
        return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
