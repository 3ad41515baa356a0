"""The ground of the PixelRNN paper's models: a masked convolution, a stack of residual layers, two 1×1 convolutions."""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from kallima.data.spec import Spec
from kallima.errors import UsageError
from kallima.layers.causal_convolution import MaskedConvolution, Point, Window
from kallima.systems.autoregressive.pixels import PixelModel
from kallima.systems.descent import Descent


class LayerSteps(Protocol):
    """A layer on its way through the pixels of a row, and from row to row."""

    def look(self, column: int, maps: Tensor) -> Tensor:
        """(N, 2 width) at a pixel -> the same shape; what was said of the pixel before is taken back."""
        ...

    def end_row(self) -> None:
        """Go to the next row."""
        ...


class StackLayer(nn.Module, ABC):
    """A layer of the stack, (N, 2 width, H, W) to the same shape."""

    @abstractmethod
    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps with what the layer adds."""

    @abstractmethod
    def steps(self, count: int, columns: int) -> LayerSteps:
        """Start through the pixels of `count` images."""


class MaskedStack(PixelModel):
    """A masked convolution (mask A), `depth` residual layers, a ReLU before each of two 1×1 convolutions (mask B).

    A model is a kind of `layer`: of maps whose 2 width channels belong to the parts of a pixel as `outer` says, in its
    middle width channels as `inner` says.
    """

    def __init__(self, spec: Spec, *, levels: int | None, width: int, depth: int, kernel: int, descent: Descent):
        super().__init__(spec, levels=levels, planes=width, descent=descent)
        if kernel % 2 == 0 or kernel < 3:
            raise UsageError(f"--kernel is an odd number from 3, not {kernel}")
        half = kernel // 2
        seen, inner, outer = (self.groups(channels) for channels in (self.planes, width, 2 * width))
        self.first = MaskedConvolution(seen, outer, own=False, rows=half + 1, left=half, right=half)
        self.layers = nn.ModuleList(self.layer(outer, inner) for _ in range(depth))
        self.before = MaskedConvolution(outer, outer, own=True)
        self.last = MaskedConvolution(outer, self.groups(self.parts * self.alphabet.choices), own=True)

    @abstractmethod
    def layer(self, outer: Tensor, inner: Tensor) -> StackLayer:
        """Make one of the layers."""

    def says(self, planes: Tensor, condition: Tensor | None) -> Tensor:
        """(N, P, H, W) -> logits (N, parts · K, H, W)."""
        maps = self.first(planes)
        for layer in self.layers:
            maps = layer(maps)
        return self.last(self.before(maps.relu()).relu())

    def stepper(self, count: int, condition: Tensor | None) -> "Steps":
        """Start through the pixels of `count` images."""
        return Steps(self, count)


class Steps:
    """A stack's way through the pixels."""

    def __init__(self, model: MaskedStack, count: int):
        self.columns, self.column = model.columns, 0
        self.first = Window(model.first, count, model.columns)
        self.layers: list[LayerSteps] = [layer.steps(count, model.columns) for layer in model.layers]  # type: ignore[operator]
        self.before, self.last = Point(model.before), Point(model.last)

    def look(self, pixel: Tensor) -> Tensor:
        """Compute the column of the next pixel: (N, P) -> (N, parts · K)."""
        maps = self.first.look(self.column, pixel)
        for layer in self.layers:
            maps = layer.look(self.column, maps)
        return self.last.look(self.before.look(maps.relu()).relu_())

    def step(self, pixel: Tensor) -> None:
        """Write the pixel down and go on."""
        self.first.write(self.column, pixel)
        self.column += 1
        if self.column == self.columns:
            self.column = 0
            self.first.end_row()
            for layer in self.layers:
                layer.end_row()
