"""Encoders and decoders between images and maps of features at a quarter of their size (van den Oord et al. 2017)."""

import math

from torch import Tensor, nn

from kallima.layers.glorot import glorot


class Residual(nn.Module):
    """x + f(x): ReLU, 3 × 3 convolution to half the channels, ReLU, 1 × 1 convolution: (N, C, H, W) to the same."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // 2)
        self.residual = nn.Sequential(
            nn.ReLU(),
            glorot(nn.Conv2d(channels, inner, 3, 1, 1), math.sqrt(2)),
            nn.ReLU(),
            glorot(nn.Conv2d(inner, channels, 1), 0.5),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features."""
        return x + self.residual(x)


class MapEncoder(nn.Module):
    """Images (N, C, H, W) to (N, outputs, H/4, W/4); `width` is the number of channels."""

    def __init__(self, colours: int, outputs: int, *, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            glorot(nn.Conv2d(colours, width // 2, 4, 2, 1), math.sqrt(2)),
            nn.ReLU(),
            glorot(nn.Conv2d(width // 2, width, 4, 2, 1), math.sqrt(2)),
            Residual(width),
            Residual(width),
            nn.ReLU(),
            glorot(nn.Conv2d(width, outputs, 1)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the map of features."""
        return self.layers(images)


class MapDecoder(nn.Module):
    """Maps (N, inputs, H/4, W/4) to (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, *, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            glorot(nn.Conv2d(inputs, width, 3, 1, 1)),
            Residual(width),
            Residual(width),
            nn.ReLU(),
            glorot(nn.ConvTranspose2d(width, width // 2, 4, 2, 1), math.sqrt(8)),  # 4 of 16 taps meet
            nn.ReLU(),
            glorot(nn.ConvTranspose2d(width // 2, outputs, 4, 2, 1), 2.0),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return what is decoded, without a last activation."""
        return self.layers(features)
