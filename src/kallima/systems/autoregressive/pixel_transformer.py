"""A causal transformer over pixels (Parmar et al. 2018; Chen et al. 2020), at the size of small images."""

from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.networks.causal_transformer import CausalTransformer
from kallima.recipe import recipe
from kallima.systems.autoregressive.sequences import Sequence
from kallima.systems.descent import Descent

START = 0.02  # the deviation of vectors and positions at the start, as in GPT-2


class PixelTransformer(Sequence):
    """A transformer that looks back at every pixel before to say what the next could be.

    Parmar et al. 2018, "Image transformer", arXiv:1802.05751; on one line of pixels, with full attention and learned
    positions, as in Chen et al. 2020, "Generative pretraining from pixels".

        h⁰ᵢ = E[xᵢ₋₁] + Pᵢ,   h ← h + Attention(LN h),   h ← h + MLP(LN h),   p(xᵢ | …) = softmax(W LN(hᴸᵢ) + b)
        minimised  −E log p(x) = −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Symbols: xᵢ the i-th component, pixels row by row, R before G before B, or places in the data's palette; E a vector
    for each, P one for each place, both learned; place i attends to places 1 … i, which hold x₀ … xᵢ₋₁, x₀ the
    beginning.

    Attention costs T² for T components: 784 for black-and-white digits of 28×28, 3,072 for colour of 32×32, which is
    about what a CPU can train. Sampling keeps the keys and values of all places, so that a component costs one place of
    each layer and one look back.

    Where we deviate: attention to everything before and not to blocks of it, as images here are small.
    """

    def __init__(
        self, spec: Spec, *, levels: int | None, width: int, depth: int, heads: int, dropout: float, descent: Descent
    ):
        super().__init__(spec, levels=levels, width=width, descent=descent)
        self.positions = nn.Embedding(self.count, width)
        nn.init.normal_(self.vectors.weight, std=START)
        nn.init.normal_(self.positions.weight, std=START)
        self.body = CausalTransformer(width, depth, heads, dropout=dropout)

    def reads(self, vectors: Tensor) -> Tensor:
        """(N, T, width) -> the same shape."""
        return self.body(vectors + self.positions.weight)

    def reader(self, count: int) -> "Reader":
        """Start through `count` sequences."""
        return Reader(self, count)


class Reader:
    """One place of the network a component, with the keys and values of those before it kept."""

    def __init__(self, model: PixelTransformer, count: int):
        self.model, self.cache = model, model.body.start(count, model.count)

    def read(self, vectors: Tensor) -> Tensor:
        """(N, width) -> the same shape."""
        return self.model.body.step(vectors + self.model.positions.weight[self.cache.place], self.cache)


@recipe(
    "pixel-transformer",
    family="autoregressive",
    paper="Parmar et al. 2018, arXiv:1802.05751; Chen et al. 2020, ICML",
    needs={"image": Image},
    steps=10_000,
    batch_size=32,
)
def pixel_transformer(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    descent: Descent = Descent(learning_rate=1e-3, beta2=0.98, schedule="cosine", clip=400.0),
) -> PixelTransformer:
    """A causal transformer over the pixels of small images, with a key-value cache for drawing them.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: numbers of a vector.
        depth: layers.
        heads: parts of the width that attend each for itself.
        dropout: share of what each layer adds that is left out in training.
    """
    return PixelTransformer(
        spec, levels=levels, width=width, depth=depth, heads=heads, dropout=dropout, descent=descent
    )
