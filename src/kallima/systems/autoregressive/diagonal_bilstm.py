"""The Diagonal BiLSTM (van den Oord et al. 2016): an LSTM along the diagonals, from both upper corners."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.layers.causal_convolution import CausalConvolution, MaskedConvolution, Point
from kallima.layers.skewing import skewed, unskewed
from kallima.recipe import recipe
from kallima.systems.autoregressive.masked_stack import MaskedStack, StackLayer
from kallima.systems.autoregressive.row_lstm import cell
from kallima.systems.descent import Descent


class DiagonalBiLSTM(MaskedStack):
    """A PixelRNN whose LSTM goes along the diagonals, from the left and from the right: it sees everything before.

    van den Oord et al. 2016, "Pixel recurrent neural networks", arXiv:1601.06759, §3.2.

        [o, f, i, g] = [σ, σ, σ, tanh](K_ss ⊛ (h_{r−1,c}, h_{r,c−1}) + K_is x_{r,c})
        c_{r,c} = f ⊙ c_{r,c−1} + i ⊙ g,     h_{r,c} = o ⊙ tanh c_{r,c}
        layer = x + K (h^left + h^right, moved one row down),     minimised  −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Symbols: x a layer's input at row r and column c, h and c outputs and cells. All pixels of a diagonal are computed
    at once: rows are moved to the right by one more each (skewed), so that diagonals stand upright, and K_ss is a
    convolution over two rows. The LSTM from the right sees the mirrored image; what it says is moved down a row, as its
    own row holds pixels that are not there yet. A 7×7 convolution with mask A comes first, two 1×1 convolutions
    say the logits, residual layers as in `row-lstm`.

    Training takes as many steps in sequence as rows and columns together. Sampling computes one cell a pixel from the
    left and, at the end of each row, that row's cells from the right.

    Where we deviate: Adam instead of RMSProp, as throughout. The input of the LSTM from the right needs no mask.
    """

    def layer(self, outer: Tensor, inner: Tensor) -> StackLayer:
        """Make a layer of both directions."""
        return DiagonalLayer(outer, inner)


class Direction(nn.Module):
    """An LSTM along the diagonals: gates of the input, and of the outputs above and to the left."""

    def __init__(self, from_input: CausalConvolution, width: int):
        super().__init__()
        self.from_input, self.width = from_input, width
        self.from_above, self.from_left = (nn.Linear(width, 4 * width, bias=False) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, 2 width, H, W) -> outputs (N, width, H, W)."""
        gates = skewed(self.from_input(maps))  # (N, 4 width, H, H + W − 1)
        outputs = cells = torch.zeros_like(gates[:, : self.width, :, 0])  # (N, width, H)
        both = torch.stack([self.from_above.weight, self.from_left.weight], 2)
        made = []
        # outside of the image the gates are 0: so there the state is 0 to its left, and to its right nobody asks for it
        for diagonal in gates.unbind(3):
            outputs, cells = cell(diagonal + F.conv1d(F.pad(outputs, (1, 0)), both), cells)
            made.append(outputs)
        return unskewed(torch.stack(made, 3))


class DiagonalLayer(StackLayer):
    """x + 1×1 (h), h by LSTMs from both upper corners."""

    def __init__(self, outer: Tensor, inner: Tensor):
        super().__init__()
        width = len(inner)
        self.from_left = Direction(MaskedConvolution(outer, inner.repeat(4), own=True), width)
        self.from_right = Direction(CausalConvolution(2 * width, 4 * width), width)
        self.widen = MaskedConvolution(inner, outer, own=True)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, 2 width, H, W) -> the same shape."""
        right = self.from_right(maps.flip(3)).flip(3)
        return maps + self.widen(self.from_left(maps) + F.pad(right, (0, 0, 1, 0))[:, :, :-1])

    def steps(self, count: int, columns: int) -> "DiagonalSteps":
        """Start through the pixels of `count` images."""
        return DiagonalSteps(self, count, columns)


class DirectionSteps:
    """A direction's way: outputs of the row above, the output and the cells before."""

    def __init__(self, direction: Direction, count: int, columns: int):
        self.from_input = Point(direction.from_input)
        self.from_above, self.from_left = direction.from_above.weight, direction.from_left.weight
        self.outputs = self.from_above.new_zeros(count, direction.width, columns)
        self.cells = self.outputs.clone()
        self.above = self.outputs.clone()

    def look(self, column: int, before: int | None, maps: Tensor) -> Tensor:
        """(N, 2 width) at a pixel, `before` the column that the LSTM comes from, to outputs (N, width)."""
        gates = self.from_input.look(maps) + F.linear(self.above[:, :, column], self.from_above)
        cells = torch.zeros_like(self.cells[:, :, 0])
        if before is not None:
            gates = gates + F.linear(self.outputs[:, :, before], self.from_left)
            cells = self.cells[:, :, before]
        self.outputs[:, :, column], self.cells[:, :, column] = cell(gates, cells)
        return self.outputs[:, :, column]

    def end_row(self) -> None:
        """Go to the next row."""
        self.above, self.outputs = self.outputs, self.above


class DiagonalSteps:
    """A layer's way: from the left pixel by pixel, from the right a row when it is whole."""

    def __init__(self, layer: DiagonalLayer, count: int, columns: int):
        self.left, self.right = (DirectionSteps(each, count, columns) for each in (layer.from_left, layer.from_right))
        self.widen = Point(layer.widen)
        self.row = self.widen.weight.new_zeros(count, self.widen.weight.shape[0], columns)

    def look(self, column: int, maps: Tensor) -> Tensor:
        """(N, 2 width) at a pixel -> the same shape."""
        self.row[:, :, column] = maps
        left = self.left.look(column, column - 1 if column else None, maps)
        return maps + self.widen.look(left + self.right.above[:, :, column])

    def end_row(self) -> None:
        """Go to the next row, with what the LSTM from the right makes of this one."""
        last = self.row.shape[2] - 1
        for column in range(last, -1, -1):
            self.right.look(column, column + 1 if column < last else None, self.row[:, :, column])
        self.left.end_row()
        self.right.end_row()


@recipe(
    "diagonal-bilstm",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1601.06759",
    needs={"image": Image},
    steps=10_000,
    batch_size=32,
)
def diagonal_bilstm(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    depth: int = 2,
    kernel: int = 7,
    descent: Descent = Descent(clip=1_000.0),
) -> DiagonalBiLSTM:
    """A PixelRNN with LSTMs along the diagonals of an image, from both upper corners: sees all that came before.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: numbers of an LSTM's output at a pixel.
        depth: layers.
        kernel: columns of the first convolution.
    """
    return DiagonalBiLSTM(spec, levels=levels, width=width, depth=depth, kernel=kernel, descent=descent)
