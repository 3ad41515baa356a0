"""The gated PixelCNN (van den Oord et al. 2016): two stacks, so that nothing is out of sight; under conditions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Image, Label, Spec, Values
from kallima.errors import UsageError
from kallima.layers.causal_convolution import CausalConvolution, MaskedConvolution, Point, RowWindow, Window, groups
from kallima.recipe import recipe
from kallima.systems.autoregressive.pixels import PixelModel
from kallima.systems.descent import Descent


def gated(maps: Tensor) -> Tensor:
    """Return tanh of the first half of the channels times the sigmoid of the second (Eq. 2)."""
    said, let_through = maps.chunk(2, 1)
    return said.tanh() * let_through.sigmoid()


class Layer(nn.Module):
    """A layer of both stacks: what is seen of the rows above goes down the one and across to the other."""

    def __init__(self, of_inputs: Tensor, width: int, parts: int, *, half: int, first: bool, condition_size: int):
        super().__init__()
        own, both, inputs = groups(width, parts), groups(width, parts).repeat(2), len(of_inputs)
        self.first = first
        self.down = CausalConvolution(inputs, 2 * width, rows=half + 1, left=half, right=half)
        self.across = CausalConvolution(2 * width, 2 * width)
        self.along = MaskedConvolution(of_inputs, both, own=not first, left=half)
        self.out = MaskedConvolution(own, own, own=True)
        self.told = nn.Linear(condition_size, 4 * width, bias=False) if condition_size else None

    def condition(self, condition: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """Return what both gates add for conditions (N, K): (N, 2 width) each."""
        if self.told is None or condition is None:
            return 0.0, 0.0
        down, along = self.told(condition).chunk(2, 1)
        return down, along

    def forward(self, above: Tensor, row: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Maps of both stacks, (N, ·, H, W) each, to the next ones (N, width, H, W)."""
        for_down, for_along = (_over_maps(each) for each in self.condition(condition))
        seen = self.down(above)
        # the map at row r knows row r, whole: one row further down it knows only what is above
        shifted = F.pad(seen, (0, 0, 1, 0))[:, :, :-1]
        along = self.out(gated(self.along(row) + self.across(shifted) + for_along))
        return gated(seen + for_down), along if self.first else row + along


def _over_maps(numbers: Tensor | float) -> Tensor | float:
    return numbers[:, :, None, None] if isinstance(numbers, Tensor) else numbers


class GatedPixelCNN(PixelModel):
    """A PixelCNN with two stacks of convolutions, one for the rows above and one for the row itself, and gates.

    van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", arXiv:1606.05328.

        log p(x | c) = Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁, c),     pixels row by row, R before G before B
        layer          y = tanh(W_f ∗ x + V_f c) ⊙ σ(W_g ∗ x + V_g c)                      (Eqs. 2 and 4)
        minimised      −E log p(x | c)

    Symbols: ∗ a masked convolution, c a condition (none for `gated-pixel-cnn`).

    The vertical stack sees rows above, to both sides and as far as its kernels reach; it needs no mask, as it reaches
    the horizontal stack one row further down. The horizontal stack sees its row to the left, masked as in `pixel-cnn`,
    and what the vertical one hands across through a 1×1 convolution; it alone is residual. So a pixel sees all that
    came before it, as far as the kernels reach: the blind triangle of stacked square masks is gone.

    Sampling computes the vertical stack once a row and of the horizontal one a column a pixel.

    Where we deviate: Adam instead of RMSProp; as in the paper, conditions are the same for all places (no s = m(h)).
    """

    def __init__(
        self,
        spec: Spec,
        *,
        levels: int | None,
        width: int,
        depth: int,
        kernel: int,
        descent: Descent,
        conditions: Conditions | None = None,
    ):
        super().__init__(spec, levels=levels, planes=width, descent=descent, conditions=conditions)
        if kernel % 2 == 0 or kernel < 3:
            raise UsageError(f"--kernel is an odd number from 3, not {kernel}")
        parts, size = self.parts, conditions.size if conditions is not None else 0
        of_pixel, own = self.groups(self.planes), self.groups(width)
        self.layers = nn.ModuleList(
            Layer(
                own if place else of_pixel,
                width,
                parts,
                half=1 if place else kernel // 2,
                first=not place,
                condition_size=size,
            )
            for place in range(depth + 1)
        )
        self.before = MaskedConvolution(own, own, own=True)
        self.last = MaskedConvolution(own, self.groups(parts * self.alphabet.choices), own=True)

    def says(self, planes: Tensor, condition: Tensor | None) -> Tensor:
        """(N, P, H, W) -> logits (N, parts · K, H, W)."""
        above, row = planes, planes
        for layer in self.layers:
            above, row = layer(above, row, condition)
        return self.last(self.before(row.relu()).relu())

    def stepper(self, count: int, condition: Tensor | None) -> "Steps":
        """Start through the pixels of `count` images."""
        return Steps(self, count, condition)


class LayerSteps:
    """A layer's way: the vertical stack row by row, the horizontal one pixel by pixel."""

    def __init__(self, layer: Layer, count: int, columns: int, condition: Tensor | None):
        self.first, self.across, self.out = layer.first, Point(layer.across), Point(layer.out)
        self.down, self.along = RowWindow(layer.down, count, columns), Window(layer.along, count, columns)
        self.for_down, self.for_along = layer.condition(condition)
        self.handed = self.across.look(self.across.weight.new_zeros(count, columns, self.across.weight.shape[1]))

    def look(self, column: int, row: Tensor) -> Tensor:
        """Go along by a pixel: (N, ·) -> (N, width)."""
        along = self.out.look(gated(self.along.look(column, row) + self.handed[:, column] + self.for_along))
        return along if self.first else row + along

    def end_row(self, above: Tensor) -> Tensor:
        """Go down by a row (N, ·, W), which the next row is handed: (N, width, W)."""
        seen = self.down.look(above)
        self.handed = self.across.look(seen.movedim(1, 2))
        self.along.end_row()
        return gated(seen + (self.for_down[:, :, None] if isinstance(self.for_down, Tensor) else 0.0))


class Steps:
    """A gated PixelCNN's way."""

    def __init__(self, model: GatedPixelCNN, count: int, condition: Tensor | None):
        self.column, self.columns = 0, model.columns
        self.layers = [LayerSteps(each, count, model.columns, condition) for each in model.layers]  # type: ignore[arg-type]
        self.before, self.last = Point(model.before), Point(model.last)
        self.row = torch.zeros(count, model.planes, model.columns, device=model.device)

    def look(self, pixel: Tensor) -> Tensor:
        """Compute the column of the next pixel: (N, P) -> (N, parts · K)."""
        row = pixel
        for layer in self.layers:
            row = layer.look(self.column, row)
        return self.last.look(self.before.look(row.relu()).relu())

    def step(self, pixel: Tensor) -> None:
        """Write the pixel down and go on; at the end of a row, hand it down."""
        self.layers[0].along.write(self.column, pixel)
        self.row[:, :, self.column] = pixel
        self.column += 1
        if self.column == self.columns:
            self.column, above = 0, self.row
            for layer in self.layers:
                above = layer.end_row(above)


@recipe(
    "gated-pixel-cnn",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1606.05328",
    needs={"image": Image},
    steps=18_750,
    batch_size=32,
)
def gated_pixel_cnn(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    depth: int = 7,
    kernel: int = 7,
    descent: Descent = Descent(),
) -> GatedPixelCNN:
    """A PixelCNN that sees everything that came before: one stack for the rows above, one for the row itself; gates.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: channels of either stack.
        depth: layers after the first.
        kernel: columns of the first layer's convolutions.
    """
    return GatedPixelCNN(spec, levels=levels, width=width, depth=depth, kernel=kernel, descent=descent)


@recipe(
    "conditional-pixel-cnn",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1606.05328",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
    ),
    steps=18_750,
    batch_size=32,
)
def conditional_pixel_cnn(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    levels: int | None = None,
    width: int = 32,
    depth: int = 7,
    kernel: int = 7,
    descent: Descent = Descent(),
) -> GatedPixelCNN:
    """A gated PixelCNN that is told what to make: label, attributes and values shift the gates of every layer.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁, c)

    Args:
        condition_on: which of label, attributes and values to condition on; by default all that the data has.
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: channels of either stack.
        depth: layers after the first.
        kernel: columns of the first layer's convolutions.
    """
    conditions = Conditions(spec, condition_on)
    return GatedPixelCNN(
        spec, levels=levels, width=width, depth=depth, kernel=kernel, descent=descent, conditions=conditions
    )
