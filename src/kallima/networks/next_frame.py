"""A network that says what comes next, from some frames one upon another, at their full size all the way."""

import math

from torch import Tensor, nn

from kallima.data.spec import Video
from kallima.errors import UsageError
from kallima.layers.glorot import glorot


class NextFrame(nn.Module):
    """The last `context` frames (N, context, C, H, W) to the next (N, C, H, W), in [-1, 1] as far as it is right.

    `depth` residual blocks of two 3 × 3 convolutions with `width` channels, after one that takes the frames as
    channels; what block number d looks at lies 2ᵈ pixels apart (d counted from 0, up to 4 pixels), so that what moves
    fast is still seen where it came from. Pixels enter as 0 to 1, so that black says nothing, and leave without a
    bound: behind a tanh the network fell within some steps into blackness, of which it could not get out again.

    Raises:
        UsageError: there is no frame to tell it from.
    """

    def __init__(self, video: Video, *, context: int, width: int, depth: int):
        super().__init__()
        if context < 1:
            raise UsageError(f"--context counts frames from 1, not {context}")
        self.enter = glorot(nn.Conv2d(context * video.channels, width, 3, 1, 1), math.sqrt(2))
        self.blocks = nn.ModuleList(_block(width, 2 ** min(level, 2)) for level in range(depth))
        self.leave = nn.Sequential(nn.ReLU(), glorot(nn.Conv2d(width, video.channels, 3, 1, 1)))

    def forward(self, frames: Tensor) -> Tensor:
        """(N, context, C, H, W) to (N, C, H, W)."""
        features = self.enter(0.5 * (frames.flatten(1, 2) + 1))
        for block in self.blocks:
            features = features + block(features)
        return self.leave(features) - 1


def _block(width: int, apart: int) -> nn.Module:
    first = glorot(nn.Conv2d(width, width, 3, 1, apart, apart), math.sqrt(2))
    second = glorot(nn.Conv2d(width, width, 3, 1, 1))
    nn.init.zeros_(second.weight)  # a block begins as no change
    return nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)
