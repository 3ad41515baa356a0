"""PixelCNN++ (Salimans et al. 2017): pixels whole, each a discretised mixture of logistics."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.decoding import Decoding
from kallima.errors import UsageError
from kallima.layers.causal_convolution import CausalConvolution, Point, RowWindow, Window
from kallima.objectives.logistic_mixture import conditionals, level_logits, log_probability, numbers
from kallima.recipe import recipe
from kallima.systems.autoregressive.pixels import PixelModel
from kallima.systems.descent import Descent


def both_ways(maps: Tensor) -> Tensor:
    """Return ELU of the channels and of their negatives: twice as many."""
    return F.elu(torch.cat([maps, -maps], 1))


class Residual(nn.Module):
    """x + a σ(b), (a, b) of two convolutions, where the first is also told something from aside."""

    def __init__(self, width: int, *, told: int, rows: int, left: int, right: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.first = CausalConvolution(2 * width, width, rows=rows, left=left, right=right)
        self.second = CausalConvolution(2 * width, 2 * width, rows=rows, left=left, right=right)
        self.told = CausalConvolution(2 * told, width) if told else None

    def forward(self, maps: Tensor, aside: Tensor | None = None) -> Tensor:
        """(N, width, H, W), and (N, told, H, W) from aside, to (N, width, H, W)."""
        inner = self.first(both_ways(maps))
        if self.told is not None and aside is not None:
            inner = inner + self.told(both_ways(aside))
        added, let_through = self.second(F.dropout(both_ways(inner), self.dropout, self.training)).chunk(2, 1)
        return maps + added * let_through.sigmoid()


class PixelCNNPP(PixelModel):
    """A PixelCNN that says of a whole pixel at once a mixture of a few logistics, in place of 256 numbers a channel.

    Salimans et al. 2017, "PixelCNN++: improving the PixelCNN with discretized logistic mixture likelihood and other
    modifications", arXiv:1701.05517.

        p(r, g, b | before) = Σₘ πₘ P(r | μᵣ, sᵣ) P(g | μ_g + α r, s_g) P(b | μ_b + β r + γ g, s_b)          (Eqs. 2, 3)
        P(x | μ, s) = σ((x + ½ − μ)/s) − σ((x − ½ − μ)/s),  at 0 without the second term, at 255 with 1 for the first
        minimised   −E Σ log p(pixel | pixels before)

    Symbols: x a level from 0 to 255; all of π, μ, s, α, β, γ by the network, `mixtures` sets of them a pixel. Levels
    that are near each other are known to be, which a softmax has to learn. Sampling draws a channel of the
    probabilities of all its levels, given the channels drawn: temperature, top-k and nucleus mean what they always do.

    Two stacks, downward (rows above) and down and to the right (what is left in the row besides), of gated residual
    layers x + a σ(b); the second is told of the first. The second half of the layers is told of the first half, in
    reverse order, by short cuts. A channel of ones beside the image tells its border.

    Where we deviate: no down- and up-sampling, so all maps have the image's size and the short cuts join equals; fewer
    layers and channels, for a CPU; no weight normalisation; dropout is 0 by default (0.5 in the paper).
    """

    def __init__(
        self, spec: Spec, *, levels: int, width: int, depth: int, mixtures: int, dropout: float, descent: Descent
    ):
        super().__init__(spec, levels=levels, planes=0, descent=descent)
        if min(depth, mixtures) < 1:
            raise UsageError("--depth and --mixtures count from 1")
        seen, self.width = self.parts + 1, width
        self.from_above = CausalConvolution(seen, width, rows=2, left=1, right=1)
        self.from_row_above = CausalConvolution(seen, width, left=1, right=1)
        self.from_left = CausalConvolution(seen, width, rows=2)
        self.down = nn.ModuleList(
            Residual(width, told=told, rows=2, left=1, right=1, dropout=dropout)
            for told in [0] * depth + [width] * depth
        )
        self.along = nn.ModuleList(
            Residual(width, told=told, rows=2, left=1, right=0, dropout=dropout)
            for told in [width] * depth + [2 * width] * depth
        )
        self.last = CausalConvolution(width, numbers(self.parts, mixtures))

    def says(self, planes: Tensor, condition: Tensor | None) -> Tensor:
        """(N, C, H, W) -> the mixtures (N, numbers, H, W)."""
        seen = torch.cat([planes, torch.ones_like(planes[:, :1])], 1)
        above = F.pad(self.from_above(seen), (0, 0, 1, 0))[:, :, :-1]
        row = F.pad(self.from_row_above(seen), (0, 0, 1, 0))[:, :, :-1]
        row = row + F.pad(self.from_left(seen), (1, 0))[..., :-1]
        kept: list[tuple[Tensor, Tensor]] = []
        half = len(self.down) // 2
        for place, (down, along) in enumerate(zip(self.down, self.along, strict=True)):
            if place < half:
                above = down(above)
                row = along(row, above)
                kept.append((above, row))
            else:
                earlier_above, earlier_row = kept.pop()
                above = down(above, earlier_above)
                row = along(row, torch.cat([above, earlier_row], 1))
        return self.last(F.elu(row))

    def stepper(self, count: int, condition: Tensor | None) -> "Steps":
        """Start through the pixels of `count` images."""
        return Steps(self, count)

    def distributions(self, said: Tensor, pixels: Tensor) -> Tensor:
        """Return the mixtures of a pixel's channels, each given those before it: (..., C, 3 M)."""
        return conditionals(said, pixels, self.alphabet.choices)

    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of each component (N, T) under its mixture (N, T, 3 M), in nats."""
        return log_probability(parameters, self.shown(components), self.alphabet.choices)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw a level (N,) of its mixture (N, 3 M)."""
        return decoding.draw(level_logits(parameters, self.alphabet.choices), rng)


class ResidualRows:
    """A residual layer of the downward stack, row by row."""

    def __init__(self, layer: Residual, count: int, columns: int):
        self.first, self.second = RowWindow(layer.first, count, columns), RowWindow(layer.second, count, columns)
        self.told = Point(layer.told) if layer.told is not None else None

    def look(self, row: Tensor, aside: Tensor | None) -> Tensor:
        """(N, width, W), and (N, told, W) from aside, to (N, width, W)."""
        inner = self.first.look(both_ways(row))
        if self.told is not None and aside is not None:
            inner = inner + self.told.look(both_ways(aside).movedim(1, 2)).movedim(2, 1)
        added, let_through = self.second.look(both_ways(inner)).chunk(2, 1)
        return row + added * let_through.sigmoid()


class ResidualSteps:
    """A residual layer of the other stack, pixel by pixel."""

    def __init__(self, layer: Residual, count: int, columns: int):
        assert layer.told is not None
        self.first, self.second = Window(layer.first, count, columns), Window(layer.second, count, columns)
        self.told = Point(layer.told)

    def look(self, column: int, pixel: Tensor, aside: Tensor) -> Tensor:
        """(N, width) and (N, told) from aside to (N, width)."""
        inner = self.first.look(column, both_ways(pixel)) + self.told.look(both_ways(aside))
        added, let_through = self.second.look(column, both_ways(inner)).chunk(2, 1)
        return pixel + added * let_through.sigmoid()

    def end_row(self) -> None:
        """Go to the next row."""
        self.first.end_row()
        self.second.end_row()


class Steps:
    """A PixelCNN++'s way: the downward stack once a row, the other once a pixel, whatever channel is next."""

    def __init__(self, model: PixelCNNPP, count: int):
        self.column, self.columns = 0, model.columns
        size = (count, model.width, model.columns)
        self.from_above = RowWindow(model.from_above, count, model.columns)
        self.from_row_above = RowWindow(model.from_row_above, count, model.columns)
        self.from_left = Window(model.from_left, count, model.columns)
        self.down = [ResidualRows(each, count, model.columns) for each in model.down]  # type: ignore[arg-type]
        self.along = [ResidualSteps(each, count, model.columns) for each in model.along]  # type: ignore[arg-type]
        self.last = Point(model.last)
        self.row = torch.ones(count, model.parts + 1, model.columns, device=model.device)
        self.row_above = torch.zeros(size, device=model.device)
        self.left = torch.zeros(size[:2], device=model.device)
        self.above = self._go_down(torch.zeros(size, device=model.device))
        self.said: Tensor | None = None

    def look(self, pixel: Tensor) -> Tensor:
        """Return the mixture of the next pixel, (N, numbers): its own channels have no say in it."""
        if self.said is None:
            half = len(self.along) // 2
            row = self.row_above[:, :, self.column] + self.left
            kept: list[Tensor] = []
            for place, (along, above) in enumerate(zip(self.along, self.above, strict=True)):
                aside = above[:, :, self.column]
                if place < half:
                    row = along.look(self.column, row, aside)
                    kept.append(row)
                else:
                    row = along.look(self.column, row, torch.cat([aside, kept.pop()], 1))
            self.said = self.last.look(F.elu(row))
        return self.said

    def step(self, pixel: Tensor) -> None:
        """Write the pixel down and go on; at the end of a row, go down."""
        self.said = None
        self.row[:, :-1, self.column] = pixel
        self.left = self.from_left.look(self.column, self.row[:, :, self.column])
        self.column += 1
        if self.column == self.columns:
            self.column = 0
            self.left = torch.zeros_like(self.left)
            self.row_above = self.from_row_above.look(self.row)
            self.above = self._go_down(self.from_above.look(self.row))
            self.from_left.end_row()
            for layer in self.along:
                layer.end_row()

    def _go_down(self, row: Tensor) -> list[Tensor]:
        """Return what each layer of the downward stack makes of the rows above the one that is next."""
        half = len(self.down) // 2
        made: list[Tensor] = []
        for place, layer in enumerate(self.down):
            row = layer.look(row, made[2 * half - 1 - place] if place >= half else None)
            made.append(row)
        return made


@recipe(
    "pixel-cnn-pp",
    family="autoregressive",
    paper="Salimans et al. 2017, arXiv:1701.05517",
    needs={"image": Image},
    steps=20_000,
    batch_size=32,
)
def pixel_cnn_pp(
    spec: Spec,
    *,
    levels: int = 256,
    width: int = 32,
    depth: int = 3,
    mixtures: int = 10,
    dropout: float = 0.0,
    descent: Descent = Descent(average=0.999, clip=10_000.0),
) -> PixelCNNPP:
    """A PixelCNN for photographs: of each pixel a mixture of logistics over its levels, the channels tied together.

    minimised   −E Σ log p(pixel | pixels before)

    Args:
        levels: how many levels a channel has, from black to full; 256 are all of 8 bits.
        width: channels of a map.
        depth: residual layers of each half of both stacks.
        mixtures: logistics a pixel.
        dropout: share of a residual layer's inner channels that is left out in training.
    """
    return PixelCNNPP(
        spec, levels=levels, width=width, depth=depth, mixtures=mixtures, dropout=dropout, descent=descent
    )
