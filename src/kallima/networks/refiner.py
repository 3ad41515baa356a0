"""The second-stage generator of StackGAN (Zhang et al. 2017, arXiv:1612.03242, section 3.4)."""

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.networks.dcgan import initialise

BLOCKS = 2


class ResidualBlock(nn.Module):
    """x + f(x), f two convolutions with batch normalisation, then ReLU: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features."""
        return torch.relu(x + self.residual(x))


class Refiner(nn.Module):
    """Images of half the size and conditions to images: encoded to half of that again, joined, refined, grown twice.

    `width` is the number of channels at the coarse image's size, `condition_size` that of the (augmented) condition.
    """

    def __init__(self, image: Image, condition_size: int, *, width: int = 64):
        super().__init__()
        colours = image.channels
        self.encode = nn.Sequential(
            nn.Conv2d(colours, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False),  # 3 x 3: odd sizes halve too
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.join = nn.Sequential(
            nn.Conv2d(2 * width + condition_size, 2 * width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            *(ResidualBlock(2 * width) for _ in range(BLOCKS)),
        )
        self.grow = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.paint = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, colours, 3, 1, 1),
            nn.Tanh(),
        )
        self.apply(initialise)

    def forward(self, coarse: Tensor, condition: Tensor) -> Tensor:
        """Coarse images (N, C, H/2, W/2) in [-1, 1] and conditions (N, K) to (N, C, H, W) in [-1, 1]."""
        features = self.encode(coarse)
        planes = condition[:, :, None, None].expand(-1, -1, *features.shape[2:])
        joined = self.join(torch.cat([features, planes], 1))
        larger = nn.functional.interpolate(joined, size=coarse.shape[2:], mode="nearest")
        return self.paint(self.grow(larger))
