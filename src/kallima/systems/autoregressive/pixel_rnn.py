"""The PixelRNN of the lecture halls: an LSTM that reads an image pixel by pixel, each a colour of a palette."""

from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.layers.lstm import LSTM
from kallima.recipe import recipe
from kallima.systems.autoregressive.sequences import Sequence
from kallima.systems.descent import Descent


class PixelRNN(Sequence):
    """A recurrent network that reads an image as one line of pixels, row after row, and says what could be next.

    The plainest of the models of van den Oord et al. 2016, "Pixel recurrent neural networks", arXiv:1601.06759, as it
    is taught: small pictures of few colours (such as 792 sprites, 20×20), a vector a colour, an LSTM, a softmax.

        hᵢ, sᵢ = LSTM(E[xᵢ₋₁], hᵢ₋₁, sᵢ₋₁),     p(xᵢ | x₁, …, xᵢ₋₁) = softmax(W hᵢ + b)
        minimised  −E log p(x) = −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Symbols: xᵢ the i-th component: the place of a pixel's colour in the palette where the data has one, else a level of
    a channel, R before G before B; E a vector for each (x₀, the beginning, has one too); h and s outputs and cells of
    `depth` layers. No place is out of sight, but the pixel above is as many steps back as a row is long, and the
    network has to find that out: `row-lstm` and `diagonal-bilstm` are told, and train in parallel besides.

    What to watch: the loss is in nats an image. A few hundred pictures are learned by heart sooner or later; `kallima
    evaluate RUN --metrics nll --split test` says when, where there is a test split. `kallima complete RUN DATA --keep
    0.5 -n 4` covers lower halves and makes them anew.
    """

    def __init__(self, spec: Spec, *, levels: int | None, width: int, depth: int, dropout: float, descent: Descent):
        super().__init__(spec, levels=levels, width=width, descent=descent)
        self.lstm = LSTM(width, width, depth, dropout=dropout)

    def reads(self, vectors: Tensor) -> Tensor:
        """(N, T, width) -> the same shape."""
        return self.lstm(vectors)[0]

    def reader(self, count: int) -> "Reader":
        """Start through `count` sequences."""
        return Reader(self, count)


class Reader:
    """One step of the network a component: all that it has read is in its state."""

    def __init__(self, model: PixelRNN, count: int):
        self.lstm, self.state = model.lstm, model.lstm.start(count)

    def read(self, vectors: Tensor) -> Tensor:
        """(N, width) -> the same shape."""
        outputs, self.state = self.lstm(vectors[:, None], self.state)
        return outputs[:, 0]


@recipe(
    "pixel-rnn",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1601.06759",
    needs={"image": Image},
    steps=1_500,
    batch_size=16,
)
def pixel_rnn(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 256,
    depth: int = 1,
    dropout: float = 0.0,
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine", clip=400.0),
) -> PixelRNN:
    """An LSTM over the pixels of small pictures, one colour after another: draws them, and completes what is covered.

    minimised   −E Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁)

    Args:
        levels: how many levels a pixel has: 2 is black and white, 256 all of 8 bits; by default the places of a palette
            where the data has one, else 2 for grey images and 256 for colour.
        width: numbers of a vector and of a layer's output.
        depth: layers.
        dropout: share of what goes from layer to layer that is left out in training.
    """
    return PixelRNN(spec, levels=levels, width=width, depth=depth, dropout=dropout, descent=descent)
