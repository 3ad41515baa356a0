"""Video pixel networks (Kalchbrenner et al. 2016): a memory of frames, and a PixelCNN that is told what it says."""

from torch import Tensor, nn

from kallima.data.spec import Spec, Video
from kallima.layers.causal_convolution import MaskedConvolution, Point, Window, groups
from kallima.recipe import recipe
from kallima.systems.descent import Descent
from kallima.systems.video.likelihood import VideoModel


class VideoPixelNetwork(VideoModel):
    """Each pixel given all pixels before it, in its own frame and in all earlier ones: nothing is independent.

    Kalchbrenner, van den Oord, Simonyan, Danihelka, Vinyals, Graves & Kavukcuoglu 2016, "Video pixel networks",
    arXiv:1610.00527.

        log p(x) = Σ_t Σ_ij Σ_c log p(x_tijc | x_<t, x_t,<ij, x_tij,<c)                                       (Eq. 1)
        minimised      −E log p(x)

    Symbols: t frames, i, j rows and columns, c the channels of a pixel. A convolutional LSTM is shown each whole frame
    and says something of every pixel of the next (the encoder); a PixelCNN goes through that frame with masked
    convolutions, and is told it in its first layer and in each of its `depth` residual blocks (the decoder). So a digit
    that may go two ways is drawn going one of them, whole. On two digits in 64×64 frames the paper has 87.6 nats a
    frame where 86.3 is the best that there can be, of grey pixels; `moving-digit` has 14.1 nats a video.

    Sampling keeps the decoder's activations, row by row, and the memory's state: a pixel costs as much wherever it is.

    Where we deviate: the encoder is the memory alone, over squares of pixels, without the residual blocks below it;
    decoder blocks are those of PixelCNN, without multiplicative units. With `--depth 0` and no masks it is `convlstm`.
    """

    def __init__(
        self, spec: Spec, *, levels: int | None, width: int, layers: int, patch: int, depth: int, descent: Descent
    ):
        super().__init__(spec, levels=levels, width=width, layers=layers, patch=patch, descent=descent)
        numbers = self.parts * self.alphabet.choices
        seen, inner, outer = (groups(channels, self.parts) for channels in (self.parts, width, 2 * width))
        self.first = MaskedConvolution(seen, outer, own=False, rows=3, left=2, right=2)
        self.told = nn.Conv2d(width, 2 * width, 1)
        self.blocks = nn.ModuleList(TellingBlock(inner, outer) for _ in range(depth))
        self.before = MaskedConvolution(outer, outer, own=True)
        self.last = MaskedConvolution(outer, groups(numbers, self.parts), own=True)

    def says(self, planes: Tensor, context: Tensor) -> Tensor:
        """Return the logits (N, parts · K, H, W) of frames (N, P, H, W) that the memory said `context` of."""
        maps = self.first(planes) + self.told(context)
        for block in self.blocks:
            maps = block(maps, context)
        return self.last(self.before(maps.relu()).relu())

    def stepper(self, context: Tensor) -> "Telling":
        """Start through the pixels of a frame."""
        return Telling(self, context)


class TellingBlock(nn.Module):
    """h + 1×1 (3×3 (1×1 (h)) + 1×1 context), a ReLU before each, the middle of half the width."""

    def __init__(self, inner: Tensor, outer: Tensor):
        super().__init__()
        self.narrow = MaskedConvolution(outer, inner, own=True)
        self.look = MaskedConvolution(inner, inner, own=True, rows=2, left=1, right=1)
        self.told = nn.Conv2d(len(inner), len(inner), 1)
        self.widen = MaskedConvolution(inner, outer, own=True)

    def forward(self, maps: Tensor, context: Tensor) -> Tensor:
        """(N, 2 width, H, W) and (N, width, H, W) to (N, 2 width, H, W)."""
        middle = self.look(self.narrow(maps.relu()).relu()) + self.told(context)
        return maps + self.widen(middle.relu())


class Telling:
    """The decoder's way through the pixels of one frame; what the context adds is computed once."""

    def __init__(self, model: VideoPixelNetwork, context: Tensor):
        count, self.columns, self.row, self.column = len(context), model.columns, 0, 0
        blocks: list[TellingBlock] = list(model.blocks)  # type: ignore[arg-type]
        self.first = Window(model.first, count, model.columns)
        self.windows = [Window(block.look, count, model.columns) for block in blocks]
        self.points = [(Point(block.narrow), Point(block.widen)) for block in blocks]
        self.told = [model.told(context), *(block.told(context) for block in blocks)]
        self.before, self.last = Point(model.before), Point(model.last)

    def look(self, pixel: Tensor) -> Tensor:
        """Compute the column of the next pixel: (N, P) to (N, parts · K)."""
        at = (slice(None), slice(None), self.row, self.column)
        maps = self.first.look(self.column, pixel) + self.told[0][at]
        for window, (narrow, widen), told in zip(self.windows, self.points, self.told[1:], strict=True):
            middle = window.look(self.column, narrow.look(maps.relu()).relu()) + told[at]
            maps = maps + widen.look(middle.relu())
        return self.last.look(self.before.look(maps.relu()).relu())

    def step(self, pixel: Tensor) -> None:
        """Write the pixel down and go on."""
        self.first.write(self.column, pixel)
        self.column += 1
        if self.column == self.columns:
            self.row, self.column = self.row + 1, 0
            for window in (self.first, *self.windows):
                window.end_row()


@recipe(
    "video-pixel-network",
    family="video",
    paper="Kalchbrenner et al. 2016, arXiv:1610.00527",
    needs={"video": Video},
    steps=5_000,
    batch_size=16,
)
def video_pixel_network(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    layers: int = 2,
    patch: int = 2,
    depth: int = 4,
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine", clip=1.0),
) -> VideoPixelNetwork:
    """Pixel after pixel of frame after frame, each given all before it: a PixelCNN told by a memory of the frames.

    minimised   −E Σ_t Σ_ij log p(x_tij | all before it)

    Args:
        levels: how many levels a pixel has; by default 2 (black and white) for grey videos and 256 for colour.
        width: channels of the memory, and half of those of the decoder's maps.
        layers: layers of the memory.
        patch: pixels a side that are one place of the memory.
        depth: residual blocks of the decoder.
    """
    return VideoPixelNetwork(spec, levels=levels, width=width, layers=layers, patch=patch, depth=depth, descent=descent)
