"""Encoders and decoders of images, dense and convolutional. They end in plain numbers; others say what these mean."""

import itertools
import math

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.glorot import glorot
from kallima.layers.pyramid import pyramid
from kallima.networks.mlp import hidden_layers

MOST = 8


class DenseEncoder(nn.Module):
    """Images and, where there are, conditions to (N, outputs), through `depth` layers of `width` units.

    Pixels enter as 0 to 1, so that black says nothing: on digits a bound was reached in two thirds of the steps.
    """

    def __init__(
        self,
        image: Image,
        outputs: int,
        *,
        width: int,
        depth: int,
        activation: type[nn.Module] = nn.ReLU,
        condition_size: int = 0,
    ):
        super().__init__()
        inputs = math.prod(image.shape) + condition_size
        self.hidden = hidden_layers(inputs, width, depth, activation)
        self.output = nn.Linear(width if depth else inputs, outputs)
        self.apply(_initialise)

    def forward(self, images: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) and, where there are, conditions (N, K) to (N, outputs)."""
        return self.output(self.hidden(_beside(0.5 * (images.flatten(1) + 1), *condition)))


class DenseDecoder(nn.Module):
    """Codes (N, inputs) to (N, numbers · C, H, W): `numbers` for each value of an image."""

    def __init__(
        self,
        image: Image,
        inputs: int,
        *,
        width: int,
        depth: int,
        activation: type[nn.Module] = nn.ReLU,
        numbers: int = 1,
    ):
        super().__init__()
        colours, height, columns = image.shape
        self.shape = (numbers * colours, height, columns)
        self.hidden = hidden_layers(inputs, width, depth, activation)
        self.output = nn.Linear(width if depth else inputs, math.prod(self.shape))
        self.apply(_initialise)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, inputs) to (N, numbers · C, H, W)."""
        return self.output(self.hidden(codes)).unflatten(1, self.shape)


class ConvolutionalEncoder(nn.Module):
    """Images and, where there are, conditions to (N, outputs), by strided convolutions without normalisation.

    `width` is the number of channels at half the image's size.
    """

    def __init__(self, image: Image, outputs: int, *, width: int, condition_size: int = 0):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        down = [colours, *plan.channels(width, MOST)]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(down):
            layers += [glorot(nn.Conv2d(before, after, 4, 2, 1), math.sqrt(2)), nn.ReLU()]
        self.shrink = nn.Sequential(*layers, nn.Flatten())
        self.output = glorot(nn.Linear(down[-1] * plan.area + condition_size, outputs))

    def forward(self, images: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) and, where there are, conditions (N, K) to (N, outputs)."""
        return self.output(_beside(self.shrink(images), *condition))


class ConvolutionalDecoder(nn.Module):
    """Codes (N, inputs) to (N, numbers · C, H, W), by transposed convolutions without normalisation."""

    def __init__(self, image: Image, inputs: int, *, width: int, numbers: int = 1):
        super().__init__()
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        up = [*plan.channels(width, MOST)[::-1], numbers * colours]
        grid = (up[0], *plan.grid)
        layers: list[nn.Module] = [glorot(nn.Linear(inputs, math.prod(grid))), nn.Unflatten(1, grid)]
        for before, after in itertools.pairwise(up):
            layers += [nn.ReLU(), glorot(nn.ConvTranspose2d(before, after, 4, 2, 1), math.sqrt(8))]  # 4 of 16 taps meet
        self.grow = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, inputs) to (N, numbers · C, H, W)."""
        return self.grow(codes)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        glorot(module)


def _beside(features: Tensor, *condition: Tensor) -> Tensor:
    return torch.cat([features, *condition], 1) if condition else features
