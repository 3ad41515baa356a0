"""The pair of progressive growing (Karras et al. 2018, arXiv:1710.10196, table 2 and figure 2), 8 to 256 pixels a side.

Stage 0 is the smallest grid, each further stage twice its size, the last the image itself. A network at a stage is made
of the blocks up to it; while a stage fades in, the way around its block is open too:

    generator       x_k = block_k(x_{k−1}),   image = (1 − α) up(paint_{k−1}(x_{k−1})) + α paint_k(x_k)
    discriminator   y_{k−1} = (1 − α) read_{k−1}(down(image)) + α block_k(read_k(image))

up repeats each pixel in a square of four, down is the mean of such a square. All weights have an equalised learning
rate, activations are LeakyReLU(0.2), and the generator normalises each feature vector pixel by pixel. Where we deviate:
fewer channels; grids of 4 to 7 places a side, as `pyramid` plans them; where features are halved the activation comes
after the mean, as in the authors' code, in the paper's table before it.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.equalised import EqualisedConv2d, EqualisedLinear
from kallima.layers.minibatch_deviation import MinibatchDeviation
from kallima.layers.pixel_norm import PixelNorm
from kallima.layers.pyramid import Pyramid, pyramid

MOST = 4
SLOPE = 0.2
GAIN = math.sqrt(2)
"""Gain of all layers (He et al. 2015) but of those that paint or score, as in the authors' code."""


def halved(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) at half their size: means of 2 x 2 pixels."""
    return F.avg_pool2d(images, 2)


def doubled(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) at twice their size: each pixel four times."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def widths(plan: Pyramid, width: int) -> list[int]:
    """Return the channels of each stage, the grid's first: `width` at half the image's size, half of it at the full."""
    return [*reversed(plan.channels(width, MOST)), max(1, width // 2)]


def layer(before: int, after: int, kernel: int = 3, *, padding: int | None = None) -> nn.Sequential:
    """Return an equalised convolution and its activation."""
    return nn.Sequential(EqualisedConv2d(before, after, kernel, padding=padding, gain=GAIN), nn.LeakyReLU(SLOPE))


class DoublingConvolution(nn.Module):
    """A 3 x 3 convolution of features at twice their size, each repeated four times: one of 4 x 4 with stride 2, turned
    around, gives the same for less than half the work. (N, before, H, W) to (N, after, 2H, 2W), activated.
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.plain = EqualisedConv2d(before, after, 3, gain=GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the next stage."""
        kernel = overlapped(self.plain.weight * self.plain.scale).transpose(0, 1).flip(2, 3)
        return F.leaky_relu(F.conv_transpose2d(x, kernel, self.plain.bias, stride=2, padding=1), SLOPE)


class HalvingConvolution(nn.Module):
    """A 3 x 3 convolution, then the means of 2 x 2, activated: likewise one convolution of 4 x 4 with stride 2.

    (N, before, H, W) to (N, after, H/2, W/2).
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.plain = EqualisedConv2d(before, after, 3, gain=GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the stage before."""
        kernel = overlapped(self.plain.weight * self.plain.scale) / 4
        return F.leaky_relu(F.conv2d(x, kernel, self.plain.bias, stride=2, padding=1), SLOPE)


def overlapped(kernel: Tensor) -> Tensor:
    """Return the sum of a kernel (.., .., 3, 3) at four places, one pixel apart: (.., .., 4, 4)."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class GrowingGenerator(nn.Module):
    """Latents (N, latent_dim) to images at any stage; `width` is the number of channels at half the image's size.

    The images are linear in the last features, as in the paper: nothing holds them in [-1, 1] but what the
    discriminator has seen.
    """

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64):
        super().__init__()
        self.latent_dim = latent_dim
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = widths(plan, width)
        # a gain as much smaller as one number of the latent reaches more places (the authors' √2 / 4)
        dense = EqualisedLinear(latent_dim, channels[0] * plan.area, gain=GAIN / math.sqrt(plan.area))
        start = [PixelNorm(), dense, nn.Unflatten(1, (channels[0], *plan.grid)), nn.LeakyReLU(SLOPE), PixelNorm()]
        first = nn.Sequential(*start, layer(channels[0], channels[0]), PixelNorm())
        further = (
            nn.Sequential(DoublingConvolution(before, after), PixelNorm(), layer(after, after), PixelNorm())
            for before, after in itertools.pairwise(channels)
        )
        self.blocks = nn.ModuleList([first, *further])
        self.paint = nn.ModuleList(EqualisedConv2d(each, colours, 1) for each in channels)

    def forward(self, latent: Tensor, stage: int, alpha: Tensor) -> Tensor:
        """(N, latent_dim) to the images of a stage, a share `alpha` (a scalar) of which is new: (N, C, H_k, W_k)."""
        features = self.blocks[0](latent)
        if stage == 0:
            return self.paint[0](features)
        for level in range(1, stage):
            features = self.blocks[level](features)
        before = doubled(self.paint[stage - 1](features))
        return torch.lerp(before, self.paint[stage](self.blocks[stage](features)), alpha)


class GrowingDiscriminator(nn.Module):
    """Images of any stage to one score each; `width` is the number of channels at half the image's size.

    Before its last layers it is told how much the images of a small group differ: examples of a batch meet in it.
    """

    def __init__(self, image: Image, *, width: int = 64):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = widths(plan, width)
        self.read = nn.ModuleList(layer(colours, each, 1) for each in channels)
        coarsest = channels[0]
        last = nn.Sequential(
            MinibatchDeviation(),
            layer(coarsest + 1, coarsest),
            nn.Flatten(),
            EqualisedLinear(coarsest * plan.area, coarsest, gain=GAIN),
            nn.LeakyReLU(SLOPE),
            EqualisedLinear(coarsest, 1),
        )
        further = (
            nn.Sequential(layer(before, before), HalvingConvolution(before, after))
            for after, before in itertools.pairwise(channels)
        )
        self.blocks = nn.ModuleList([last, *further])

    def forward(self, images: Tensor, stage: int, alpha: Tensor) -> Tensor:
        """Images of a stage (N, C, H_k, W_k), its block a share `alpha` (a scalar) of the way, to scores (N,)."""
        features = self.read[stage](images)
        if stage:
            features = torch.lerp(self.read[stage - 1](halved(images)), self.blocks[stage](features), alpha)
        for level in range(stage - 1, 0, -1):
            features = self.blocks[level](features)
        return self.blocks[0](features).squeeze(1)
