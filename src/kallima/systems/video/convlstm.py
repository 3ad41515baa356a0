"""A convolutional LSTM over frames (Shi et al. 2015): each next frame pixel by pixel, by what was seen alone."""

from torch import Tensor, nn

from kallima.data.spec import Spec, Video
from kallima.recipe import recipe
from kallima.systems.descent import Descent
from kallima.systems.video.likelihood import VideoModel


class FrameLSTM(VideoModel):
    """A memory that lies in the picture's plane says of every pixel of the next frame what it will be, by itself.

    Shi, Chen, Wang, Yeung, Wong & Woo 2015, "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", arXiv:1506.04214 (§3, and §4.1 on moving digits).

        i, f, o = σ(W ∗ [x_t, h_t−1] + b),   c_t = f c_t−1 + i tanh(W_c ∗ [x_t, h_t−1] + b_c),   h_t = o tanh(c_t)
        log p(x) = Σ_t Σ_ij log p(x_tij | h_t−1),     minimised  −E log p(x)

    Symbols: x_t frame t, h and c the output and the cell of each layer, ∗ a convolution, so that what is remembered
    moves as the picture does. The pixels of a frame are independent given the frames before. Where what comes is
    certain that is no loss; where it is not, a frame drawn so is noise: of two ways that a digit may go it takes
    half the pixels of each. `video-pixel-network` knows better.

    What to watch: "likelihood", nats a video, against the entropy of the data where that is known (`moving-digit`:
    14.1 nats): the first frame costs most, for nothing is known before it.

    Where we deviate: no encoder and forecaster of two networks, but one that reads and foretells each frame; no
    peepholes; Adam.
    """

    def __init__(self, spec: Spec, *, levels: int | None, width: int, layers: int, patch: int, descent: Descent):
        super().__init__(spec, levels=levels, width=width, layers=layers, patch=patch, descent=descent)
        self.read = nn.Conv2d(width, self.parts * self.alphabet.choices, 1)

    def says(self, planes: Tensor, context: Tensor) -> Tensor:
        """Return the logits (N, parts · K, H, W), which only the context decides."""
        return self.read(context.relu())

    def stepper(self, context: Tensor) -> "Reading":
        """Start through the pixels of a frame."""
        return Reading(self.read(context.relu()))


class Reading:
    """The way through a frame of which all is said already (N, numbers, H, W)."""

    def __init__(self, said: Tensor):
        self.said, self.place = said.flatten(2), 0

    def look(self, pixel: Tensor) -> Tensor:
        """Return what is said of the next pixel, (N, numbers)."""
        return self.said[:, :, self.place]

    def step(self, pixel: Tensor) -> None:
        """Go on."""
        self.place += 1


@recipe(
    "convlstm",
    family="video",
    paper="Shi et al. 2015, arXiv:1506.04214",
    needs={"video": Video},
    steps=5_000,
    batch_size=16,
)
def convlstm(
    spec: Spec,
    *,
    levels: int | None = None,
    width: int = 32,
    layers: int = 2,
    patch: int = 2,
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine", clip=1.0),
) -> FrameLSTM:
    """Each next frame by a memory that lies in the picture's plane, its pixels independent: exact likelihoods.

    minimised   −E Σ_t Σ_ij log p(x_tij | h_t−1)

    Args:
        levels: how many levels a pixel has; by default 2 (black and white) for grey videos and 256 for colour.
        width: channels of the memory's output and cell.
        layers: layers of the memory.
        patch: pixels a side that are one place of the memory.
    """
    return FrameLSTM(spec, levels=levels, width=width, layers=layers, patch=patch, descent=descent)
