"""Next-frame prediction (Mathieu et al. 2015): by mean squared error, which blurs, and with an adversary, who minds."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.data.spec import Image, Spec, Video
from kallima.decoding import PLAIN, Decoding
from kallima.layers.modes import evaluating
from kallima.networks.discriminator import Discriminator
from kallima.networks.next_frame import NextFrame
from kallima.networks.spectral import SpectralDiscriminator
from kallima.objectives.adversarial import cross_entropy_discriminator, non_saturating_generator
from kallima.objectives.frames import gradient_difference
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.descent import Descent, player


class FramePrediction(System):
    """A network that makes the next frame of the last few, and where there is one an adversary who knows them too.

    Mathieu, Couprie & LeCun 2015, "Deep multi-scale video prediction beyond mean square error", arXiv:1511.06380.

        ŷ = G(x₁, …, x_k)
        predictor       minimises  ‖ŷ − y‖² + λ_g GDL(ŷ, y) − λ_a E log D(x, ŷ)
        discriminator   minimises  −E log D(x, y) − E log(1 − D(x, ŷ))
        GDL(ŷ, y) = Σ | |ŷᵢⱼ − ŷᵢ₋₁ⱼ| − |yᵢⱼ − yᵢ₋₁ⱼ| | + the same along j                                    (Eq. 6)

    Symbols: x the last k frames, y the one that came, ŷ the one foretold; all sums are means over pixels and batch.
    Where what comes is not certain the best ŷ in squared error is the mean of all that may come, which is a blur and
    like none of it. D sees each frame after the frames before it, and takes a blur for what it is; λ_a says how much
    that counts. Before a video's first frame there is blackness, so that less than k frames will do.

    What to watch: "squared" alone says which model is nearer on average, and the blurred one is. Sharpness is the mean
    square of the Laplacian of ŷ over that of y, 1 where both are as sharp. `kallima complete` goes on from given
    frames, each frame it makes being taken for given by the next: so errors grow, and blur grows into nothing.

    Where we deviate: one scale instead of four (`--depth` widens what is seen), the non-saturating loss of the label
    1 as in the authors' combined loss, spectral normalisation in D, and the frame to foretell is drawn anew each time.
    """

    def __init__(
        self,
        spec: Spec,
        predictor: NextFrame,
        *,
        context: int,
        descent: Descent,
        discriminator: Discriminator | None = None,
        sharpness: float = 0.0,
        adversarial: float = 0.0,
    ):
        super().__init__()
        self.spec, self.context, self.descent = spec, context, descent
        self.predictor, self.discriminator = predictor, discriminator
        self.sharpness, self.adversarial = sharpness, adversarial

    def game(self) -> list[Phase]:
        """The discriminator's step, where there is one, then the predictor's."""
        predictor = Phase("predictor", player("predictor", self.predictor, descent=self.descent), self.predictor_loss)
        if self.discriminator is None:
            return [predictor]
        judge = player("discriminator", self.discriminator, descent=self.descent)
        return [Phase("discriminator", judge, self.discriminator_loss), predictor]

    def predictor_loss(self, batch: Batch) -> Terms:
        """Come near the frame that came, and have the guess taken for it."""
        before, frame = self.moments(batch["video"])
        guess = self.predictor(before)
        terms = {"squared": F.mse_loss(guess, frame)}
        if self.sharpness:
            terms["gradient_difference"] = self.sharpness * gradient_difference(guess, frame)
        if self.discriminator is not None:
            scores = self.discriminator(_together(before, guess))
            terms["adversarial"] = self.adversarial * non_saturating_generator(None, scores)["adversarial"]
        return terms

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the frame that came from the guess."""
        assert self.discriminator is not None
        before, frame = self.moments(batch["video"])
        with torch.no_grad():
            guess = self.predictor(before)
        pairs = torch.cat([_together(before, frame), _together(before, guess)])
        return cross_entropy_discriminator(*self.discriminator(pairs).chunk(2))

    def moments(self, videos: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a moment after each video's first frame: the frames before (N, k, C, H, W), and its own (N, C, H, W)."""
        count, frames = videos.shape[:2]
        moment = torch.randint(min(1, frames - 1), frames, (count,), device=videos.device)
        padded = self.padded(videos)
        places = moment[:, None] + torch.arange(self.context + 1, device=videos.device)
        window = padded[torch.arange(count, device=videos.device)[:, None], places]
        return window[:, :-1], window[:, -1]

    def padded(self, videos: Tensor) -> Tensor:
        """Put `context` frames of blackness before each video."""
        black = torch.full_like(videos[:, :1], -1.0).expand(-1, self.context, -1, -1, -1)
        return torch.cat([black, videos], 1)

    @torch.no_grad()
    def complete(
        self,
        examples: Tensor,
        known: Tensor,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        decoding: Decoding = PLAIN,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return videos (N, T, C, H, W) with what is not `known`, bool (N, T, H, W), foretold frame by frame.

        Nothing is drawn: equal beginnings go on in one way, whatever `rng` and `decoding` say.
        """
        made = self.padded(examples)
        total = examples.shape[1]
        with evaluating(self):
            for place in range(total):
                guess = self.predictor(made[:, place : place + self.context]).clamp(-1, 1)
                made[:, place + self.context] = torch.where(known[:, place, None], examples[:, place], guess)
                if progress is not None:
                    progress(place + 1, total)
        return made[:, self.context :].contiguous()


def _together(before: Tensor, frame: Tensor) -> Tensor:
    """Lay frames (N, k, C, H, W) and the next (N, C, H, W) one upon another: (N, (k + 1) C, H, W)."""
    return torch.cat([before.flatten(1, 2), frame], 1)


@recipe(
    "frame-mse",
    family="video",
    paper="Mathieu et al. 2015, arXiv:1511.06380",
    needs={"video": Video},
    steps=3_000,
    batch_size=32,
)
def frame_mse(
    spec: Spec,
    *,
    context: int = 4,
    width: int = 32,
    depth: int = 3,
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine"),
) -> FramePrediction:
    """The next frame by mean squared error alone: near on average, and blurred where it is unsure.

    minimised   ‖G(x₁, …, x_k) − y‖²

    Args:
        context: frames that the next is foretold from.
        width: channels of the network.
        depth: residual blocks of the network.
    """
    video = spec["video"]
    assert isinstance(video, Video)
    return FramePrediction(
        spec, NextFrame(video, context=context, width=width, depth=depth), context=context, descent=descent
    )


@recipe(
    "frame-adversarial",
    family="video",
    paper="Mathieu et al. 2015, arXiv:1511.06380",
    needs={"video": Video},
    steps=3_000,
    batch_size=32,
)
def frame_adversarial(
    spec: Spec,
    *,
    context: int = 4,
    width: int = 32,
    depth: int = 3,
    adversarial: float = 0.2,
    sharpness: float = 0.05,
    descent: Descent = Descent(schedule="cosine"),
) -> FramePrediction:
    """The next frame by squared error, by its edges, and by an adversary who takes no blur for a frame.

        predictor       minimises  ‖ŷ − y‖² + λ_g GDL(ŷ, y) − λ_a E log D(x, ŷ)
        discriminator   minimises  −E log D(x, y) − E log(1 − D(x, ŷ))

    Args:
        context: frames that the next is foretold from.
        width: channels of the networks.
        depth: residual blocks of the predictor.
        adversarial: λ_a, the weight of being taken for the frame that came.
        sharpness: λ_g, the weight of the gradient difference loss.
    """
    video = spec["video"]
    assert isinstance(video, Video)
    seen = Image((context + 1) * video.channels, video.height, video.width)
    return FramePrediction(
        spec,
        NextFrame(video, context=context, width=width, depth=depth),
        context=context,
        descent=descent,
        discriminator=SpectralDiscriminator(seen, width=width),
        sharpness=sharpness,
        adversarial=adversarial,
    )
