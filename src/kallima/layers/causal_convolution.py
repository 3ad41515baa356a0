"""Convolutions that look only at what came before, in the raster order of pixels, and what they keep while one walks.

A pixel's own place is the last that it may see: rows above it, and in its own row what is to its left.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def groups(channels: int, parts: int) -> Tensor:
    """Say which part of a pixel (its red, its green, its blue) each of `channels` belongs to: int64 (channels,)."""
    return torch.arange(channels) * parts // channels


class CausalConvolution(nn.Module):
    """A convolution over `rows` rows, the last its own, from `left` columns on the left to `right` on the right.

    As it stands it sees all of its own row that it covers: what is to the right is for maps that know only rows above.
    The rows below a pixel, which a mask would leave out of a square kernel, are not there to begin with.
    """

    def __init__(self, inputs: int, outputs: int, *, rows: int = 1, left: int = 0, right: int = 0):
        super().__init__()
        self.rows, self.left, self.right = rows, left, right
        convolution = nn.Conv2d(inputs, outputs, (rows, left + 1 + right))
        self.weight, self.bias = convolution.weight, convolution.bias

    @property
    def effective(self) -> Tensor:
        """The weights that count, (outputs, inputs, rows, columns)."""
        return self.weight

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        padded = F.pad(maps, (self.left, self.right, self.rows - 1, 0))
        return F.conv2d(padded, self.effective, self.bias)


class MaskedConvolution(CausalConvolution):
    """A causal convolution that also keeps the order of a pixel's parts (van den Oord et al. 2016, arXiv:1601.06759).

    At its own place a channel sees those of earlier parts, and of its own part only where `own` says so: so the first
    layer of a network must not (mask A) and all others may (mask B). To the right of its place it sees nothing.
    `of_inputs` and `of_outputs` are the parts that the channels belong to.
    """

    mask: Tensor

    def __init__(
        self, of_inputs: Tensor, of_outputs: Tensor, *, own: bool, rows: int = 1, left: int = 0, right: int = 0
    ):
        super().__init__(len(of_inputs), len(of_outputs), rows=rows, left=left, right=right)
        mask = torch.ones(len(of_outputs), len(of_inputs), rows, left + 1 + right)
        before = of_inputs[None, :] <= of_outputs[:, None] if own else of_inputs[None, :] < of_outputs[:, None]
        mask[:, :, -1, left] = before.to(mask.dtype)
        mask[:, :, -1, left + 1 :] = 0
        self.register_buffer("mask", mask, persistent=False)

    @property
    def effective(self) -> Tensor:
        """The weights that count: those that the mask leaves."""
        return self.weight * self.mask


class Window:
    """What a convolution over `columns` columns still has to see, when maps are made pixel by pixel.

    Nothing may be to the right of a pixel that a mask does not leave out. `look` costs as much at every pixel.
    """

    def __init__(self, convolution: CausalConvolution, count: int, columns: int):
        weight = convolution.effective
        outputs, inputs, rows, reach = weight.shape
        self.weight = weight.permute(0, 2, 3, 1).reshape(outputs, -1)  # (outputs, rows · reach · inputs)
        self.bias = convolution.bias
        self.seen = weight.new_zeros(count, rows, columns + reach - 1, inputs)
        # views of each pixel's own place, and of all that it sees: to make them anew takes longer than to look
        self.own = [self.seen[:, -1, column + convolution.left] for column in range(columns)]
        self.windows = [self.seen[:, :, column : column + reach] for column in range(columns)]

    def look(self, column: int, values: Tensor) -> Tensor:
        """Write a pixel's values (N, inputs) down, in the place of what was said of it before: (N, outputs) there."""
        self.own[column].copy_(values)
        return F.linear(self.windows[column].flatten(1), self.weight, self.bias)

    def write(self, column: int, values: Tensor) -> None:
        """Write a pixel's values (N, inputs) down."""
        self.own[column].copy_(values)

    def end_row(self) -> None:
        """Go to the next row; what stays in it of this one is to the right of where it is looked at."""
        self.seen[:, :-1] = self.seen[:, 1:].clone()


class RowWindow:
    """The same, when maps are made row by row."""

    def __init__(self, convolution: CausalConvolution, count: int, columns: int):
        self.weight, self.bias = convolution.effective, convolution.bias
        _, inputs, rows, reach = self.weight.shape
        self.left, self.columns = convolution.left, columns
        self.seen = self.weight.new_zeros(count, inputs, rows, columns + reach - 1)

    def look(self, row: Tensor) -> Tensor:
        """Take the next row (N, inputs, W) in: (N, outputs, W) there."""
        self.seen[:, :, :-1] = self.seen[:, :, 1:].clone()
        self.seen[:, :, -1, self.left : self.left + self.columns] = row
        return F.conv2d(self.seen, self.weight, self.bias)[:, :, 0]


class Point:
    """The same for a convolution that sees its own place alone, of which nothing needs to be kept."""

    def __init__(self, convolution: CausalConvolution):
        self.weight, self.bias = convolution.effective[:, :, 0, 0], convolution.bias

    def look(self, values: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        return F.linear(values, self.weight, self.bias)
