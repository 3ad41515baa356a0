"""Networks whose maps of features say what images have in common: a small one, and the first blocks of VGG-19."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.errors import DataError, UsageError
from kallima.layers.glorot import glorot

WIDTHS = (16, 32, 64)
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""VGG-19's blocks: channels, and how many convolutions of 3 × 3 there are before the pooling that ends each."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels, 0 to 1, that VGG-19 learned from


class SmallFeatures(nn.Module):
    """Three convolutions with ReLU, at the image's size, half and a quarter of it; with `classes`, a classifier above.

    Nothing in it lets examples of a batch meet. Before training its weights are random, of variance-keeping size.
    """

    def __init__(self, image: Image, *, classes: int = 0, layers: Sequence[int] = (1, 2, 3)):
        super().__init__()
        self.layers = _checked(layers, len(WIDTHS))
        self.convolutions = nn.ModuleList(
            glorot(nn.Conv2d(before, after, 3, 1 if place == 0 else 2, 1), math.sqrt(2))
            for place, (before, after) in enumerate(pairwise((image.channels, *WIDTHS)))
        )
        self.output = glorot(nn.Linear(4 * WIDTHS[-1], classes)) if classes else None

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, C, H, W) in [-1, 1] to the maps of the layers asked for, (N, C', H', W') each."""
        maps = self._maps(images, max(self.layers))
        return [maps[layer - 1] for layer in self.layers]

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of the classes of images (N, C, H, W)."""
        assert self.output is not None
        last = self._maps(images, len(WIDTHS))[-1]
        return self.output(F.adaptive_avg_pool2d(last, 2).flatten(1))

    def _maps(self, images: Tensor, depth: int) -> list[Tensor]:
        found: list[Tensor] = []
        for convolution in list(self.convolutions)[:depth]:
            found.append(F.relu(convolution(found[-1] if found else images)))
        return found


class VGG19Features(nn.Module):
    """relu1_1, relu2_1, … relu5_1 of VGG-19 (Simonyan & Zisserman 2015), from a file of its published weights.

    The file is a state dictionary in torchvision's layout (`features.0.weight`, …), as .safetensors or .pth; what lies
    above the last layer asked for is not read. A model that was saved brings these weights along: where there is no
    file, `check` refuses to train and everything else goes on.

    Raises:
        DataError: the file is no such dictionary.
        UsageError: images are too small for the layers asked for.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, image: Image, file: str, *, layers: Sequence[int] = (1, 2, 3)):
        super().__init__()
        self.layers, self.file = _checked(layers, len(BLOCKS)), Path(file).expanduser()
        deepest = max(self.layers)
        colours, height, width = image.shape
        deepest = max(self.layers)
        if colours not in (1, 3) or min(height, width) < 2 ** (deepest - 1):
            raise UsageError(
                f"VGG-19's block {deepest} needs grey or colour images of at least {2 ** (deepest - 1)} pixels a side, "
                f"not {colours} channels of {height}×{width}"
            )
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))
        self.convolutions = nn.ModuleList()
        self.names: list[str] = []
        self.starts: list[bool] = []  # whether a convolution is the first of its block
        place, before = 0, 3
        for block, (channels, count) in enumerate(BLOCKS[:deepest]):
            for nth in range(1 if block == deepest - 1 else count):
                self.convolutions.append(nn.Conv2d(before, channels, 3, 1, 1))
                self.names.append(f"features.{place}")
                self.starts.append(nth == 0)
                before, place = channels, place + 2  # a ReLU follows each
            place += 1  # the pooling
        if self.file.is_file():
            self._fill()

    def check(self) -> None:
        """Make sure that the weights were read.

        Raises:
            UsageError: there was no file.
        """
        if not self.file.is_file():
            raise UsageError(f"there is no file {self.file}: --features is auto, labels, random or VGG-19's weights")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 1 or 3, H, W) in [-1, 1] to the maps of the blocks asked for, (N, C, H/2^(b-1), W/2^(b-1))."""
        maps = (0.5 * (images.expand(-1, 3, -1, -1) + 1) - self.mean) / self.deviation
        found: list[Tensor] = []
        for convolution, starts in zip(self.convolutions, self.starts, strict=True):
            if starts and found:
                maps = F.max_pool2d(maps, 2)
            maps = F.relu(convolution(maps))
            if starts:
                found.append(maps)
        return [found[layer - 1] for layer in self.layers]

    def _fill(self) -> None:
        try:
            if self.file.suffix == ".safetensors":
                weights = load_file(self.file)
            else:
                weights = torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:  # what a damaged file raises differs by what it looks like
            raise DataError(f"{self.file} cannot be read as weights: {type(error).__name__}") from error
        for name, convolution in zip(self.names, self.convolutions, strict=True):
            for kind, own in convolution.named_parameters():
                given = weights.get(f"{name}.{kind}") if isinstance(weights, dict) else None
                if not isinstance(given, Tensor) or given.shape != own.shape:
                    shape = tuple(given.shape) if isinstance(given, Tensor) else "missing"
                    raise DataError(
                        f"{self.file} holds no VGG-19 in torchvision's layout: {name}.{kind} is {shape}, "
                        f"not {tuple(own.shape)}"
                    )
                own.data.copy_(given)


def _checked(layers: Sequence[int], most: int) -> tuple[int, ...]:
    if not layers or min(layers) < 1 or max(layers) > most:
        raise UsageError(f"--layers are numbers from 1 to {most} with these features, not {tuple(layers)}")
    return tuple(layers)
