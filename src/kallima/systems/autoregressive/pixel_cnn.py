"""PixelCNN (van den Oord et al. 2016): masked convolutions say what each pixel could be, given those before it."""

from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.layers.causal_convolution import MaskedConvolution, Point, Window
from kallima.recipe import recipe
from kallima.systems.autoregressive.masked_stack import MaskedStack, StackLayer
from kallima.systems.descent import Descent


class PixelCNN(MaskedStack):
    """The distribution of every pixel by a convolutional network whose kernels are masked, to see earlier pixels only.

    van den Oord et al. 2016, "Pixel recurrent neural networks", arXiv:1601.06759, §3.3–3.5.

        log p(x) = Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁),     pixels row by row, in each R, then G given R, then B given both
        p(xᵢ | x₁, …, xᵢ₋₁) = softmax of K numbers that the network says at pixel i
        minimised      −E log p(x)

    Mask A is in the first layer alone: a channel sees only earlier channels of its own pixel. Mask B is in all others:
    a channel of a part sees that part's own features too, which know nothing of the part itself. The network is a 7×7
    convolution, `depth` residual blocks (1×1 to half the channels, 3×3, 1×1 back; a ReLU before each) and two 1×1
    convolutions. `width` is the number of channels of the 3×3 convolutions, h in the paper; the maps between have 2h.

    What the network does not see: pixels above that are further to the right than they are up, but for the first
    layer's reach. Stacked square masks leave a blind triangle there; `gated-pixel-cnn` has none. Sampling makes one
    pixel after another and computes of each layer only that pixel's column, from rows that it keeps.

    Components: black or white by the threshold ½ (the default for grey images: their nats compare only with figures on
    images that were binarised alike), `--levels 256` for all of 8 bits, places in a palette where the data has one.

    Where we deviate: Adam instead of RMSProp, as throughout.
    """

    def layer(self, outer: Tensor, inner: Tensor) -> StackLayer:
        """Make a residual block."""
        return Block(outer, inner)


class Block(StackLayer):
    """h + 1×1 (3×3 (1×1 (h))), a ReLU before each, the middle of half the width."""

    def __init__(self, outer: Tensor, inner: Tensor):
        super().__init__()
        self.narrow = MaskedConvolution(outer, inner, own=True)
        self.look = MaskedConvolution(inner, inner, own=True, rows=2, left=1, right=1)
        self.widen = MaskedConvolution(inner, outer, own=True)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, 2 width, H, W) -> the same shape."""
        return maps + self.widen(self.look(self.narrow(maps.relu()).relu()).relu())

    def steps(self, count: int, columns: int) -> "BlockSteps":
        """Start through the pixels of `count` images."""
        return BlockSteps(self, count, columns)


class BlockSteps:
    """A block's way: it keeps what its 3×3 convolution will see again."""

    def __init__(self, block: Block, count: int, columns: int):
        self.narrow, self.widen = Point(block.narrow), Point(block.widen)
        self.window = Window(block.look, count, columns)

    def look(self, column: int, maps: Tensor) -> Tensor:
        """(N, 2 width) at a pixel -> the same shape."""
        seen = self.window.look(column, self.narrow.look(maps.relu()).relu_())
        return self.widen.look(seen.relu_()).add_(maps)

    def end_row(self) -> None:
        """Go to the next row."""
        self.window.end_row()


@recipe(
    "pixel-cnn",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1601.06759",
    needs={"image": Image},
    steps=18_750,
    batch_size=32,
)
def pixel_cnn(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    depth: int = 7,
    kernel: int = 7,
    descent: Descent = Descent(),
) -> PixelCNN:
    """Pixel after pixel, each given all before it, by a convolutional network with masks: exact likelihoods.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: channels of the 3×3 convolutions.
        depth: residual blocks.
        kernel: columns of the first convolution.
    """
    return PixelCNN(spec, levels=levels, width=width, depth=depth, kernel=kernel, descent=descent)
