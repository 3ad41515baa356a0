"""The Row LSTM (van den Oord et al. 2016): an LSTM over rows, all of a row at once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.layers.causal_convolution import MaskedConvolution, Point, Window
from kallima.recipe import recipe
from kallima.systems.autoregressive.masked_stack import MaskedStack, StackLayer
from kallima.systems.descent import Descent


def cell(gates: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs and cells (N, h, …) by the gates (N, 4 h, …) o, f, i, g and the cells before."""
    let_out, keep, let_in, new = gates.chunk(4, 1)
    cells = keep.sigmoid() * before + let_in.sigmoid() * new.tanh()
    return let_out.sigmoid() * cells.tanh(), cells


class RowLSTM(MaskedStack):
    """A PixelRNN whose LSTM goes down the rows: what it keeps of a row is passed to the next through a convolution.

    van den Oord et al. 2016, "Pixel recurrent neural networks", arXiv:1601.06759, §3.1.

        [o, f, i, g] = [σ, σ, σ, tanh](K_ss ⊛ h_{r−1} + K_is ⊛ x_r)                                          (Eq. 3)
        c_r = f ⊙ c_{r−1} + i ⊙ g,     h_r = o ⊙ tanh c_r
        minimised      −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Symbols: x_r row r of a layer's input; ⊛ a convolution along the row, of 3 columns; K_is masked (mask B), so that a
    pixel sees its row to the left only; K_ss whole, as it sees rows above only; h and c outputs and cells. A 7×7
    convolution with mask A comes first; a layer's h channels are widened to 2h by a 1×1 convolution and added to its
    input; two 1×1 convolutions say the logits.

    Of the rows above, a pixel sees a triangle that widens by one column a row. Unlike `pixel-cnn`'s its reach upwards
    has no end. Training takes as many steps in sequence as there are rows; sampling computes a column a pixel, and what
    the row above says once a row.

    Where we deviate: Adam instead of RMSProp, as throughout.
    """

    def layer(self, outer: Tensor, inner: Tensor) -> StackLayer:
        """Make an LSTM layer."""
        return RowLayer(outer, inner)


class RowLayer(StackLayer):
    """x + 1×1 (h), h by an LSTM from row to row."""

    def __init__(self, outer: Tensor, inner: Tensor):
        super().__init__()
        width = len(inner)
        self.from_input = MaskedConvolution(outer, inner.repeat(4), own=True, left=1)
        self.from_state = nn.Conv1d(width, 4 * width, 3, padding=1, bias=False)
        self.widen = MaskedConvolution(inner, outer, own=True)
        self.width = width

    def forward(self, maps: Tensor) -> Tensor:
        """(N, 2 width, H, W) -> the same shape."""
        gates = self.from_input(maps)
        outputs = cells = torch.zeros_like(gates[:, : self.width, 0])
        made = []
        for row in gates.unbind(2):
            outputs, cells = cell(row + self.from_state(outputs), cells)
            made.append(outputs)
        return maps + self.widen(torch.stack(made, 2))

    def steps(self, count: int, columns: int) -> "RowSteps":
        """Start through the pixels of `count` images."""
        return RowSteps(self, count, columns)


class RowSteps:
    """A layer's way: outputs and cells of the row above and of this one so far."""

    def __init__(self, layer: RowLayer, count: int, columns: int):
        self.from_input, self.widen = Window(layer.from_input, count, columns), Point(layer.widen)
        self.from_state = layer.from_state.weight
        self.outputs = self.from_state.new_zeros(count, layer.width, columns)
        self.cells_above, self.cells = self.outputs.clone(), self.outputs.clone()
        self.above = self.from_state.new_zeros(count, 4 * layer.width, columns)

    def look(self, column: int, maps: Tensor) -> Tensor:
        """(N, 2 width) at a pixel -> the same shape."""
        gates = self.from_input.look(column, maps) + self.above[:, :, column]
        outputs, cells = cell(gates, self.cells_above[:, :, column])
        self.outputs[:, :, column], self.cells[:, :, column] = outputs, cells
        return maps + self.widen.look(outputs)

    def end_row(self) -> None:
        """Go to the next row."""
        self.from_input.end_row()
        self.cells_above, self.cells = self.cells, self.cells_above
        self.above = F.conv1d(self.outputs, self.from_state, padding=1)


@recipe(
    "row-lstm",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1601.06759",
    needs={"image": Image},
    steps=10_000,
    batch_size=32,
)
def row_lstm(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    depth: int = 3,
    kernel: int = 7,
    descent: Descent = Descent(clip=1_000.0),
) -> RowLSTM:
    """A PixelRNN with an LSTM down the rows of an image, a row at once: it sees up to the top, in a triangle.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: numbers of an LSTM's output at a pixel.
        depth: LSTM layers.
        kernel: columns of the first convolution.
    """
    return RowLSTM(spec, levels=levels, width=width, depth=depth, kernel=kernel, descent=descent)
