"""StyleGAN2's residual discriminator (Karras et al. 2020, arXiv:1912.04958, figure 7c), for 8 to 256 pixels."""

import itertools
import math

from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.blur import Blur
from kallima.layers.equalised import EqualisedConv2d, EqualisedLinear, leaky
from kallima.layers.laplacian import down
from kallima.layers.minibatch_deviation import MinibatchDeviation
from kallima.layers.pyramid import pyramid
from kallima.networks.discriminator import Discriminator
from kallima.networks.style_generator import style_channels


class Leaky(nn.Module):
    """√2 · LeakyReLU, as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return leaky(x)


class StyleDiscriminatorBlock(nn.Module):
    """(N, before, H, W) to (N, after, H/2, W/2): two convolutions beside a shortcut, together of variance 1."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.residual = nn.Sequential(
            EqualisedConv2d(before, before, 3),
            Leaky(),
            Blur(padding=2),
            EqualisedConv2d(before, after, 3, stride=2, padding=0),
            Leaky(),
        )
        self.shortcut = EqualisedConv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the next level."""
        return (self.residual(x) + self.shortcut(down(x))) * math.sqrt(0.5)


class StyleDiscriminator(Discriminator):
    """Images (N, C, H, W) to one score each, judged beside their neighbours in the batch by their deviation.

    `width` is the number of channels at half the image's size. With a `condition_size` K it takes conditions (N, K)
    besides, and adds ⟨V c, φ(x)⟩ / √F to the score (Miyato & Koyama 2018, arXiv:1802.05637).
    """

    def __init__(self, image: Image, *, width: int = 64, condition_size: int = 0):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = style_channels(plan, width)
        last = channels[-1]
        body = nn.Sequential(
            EqualisedConv2d(colours, channels[0], 1),
            Leaky(),
            *(StyleDiscriminatorBlock(before, after) for before, after in itertools.pairwise(channels)),
            MinibatchDeviation(),
            EqualisedConv2d(last + 1, last, 3),
            Leaky(),
            nn.Flatten(),
            EqualisedLinear(last * plan.area, last),
            Leaky(),
        )
        super().__init__(body, EqualisedLinear(last, 1))
        self.embedding = EqualisedLinear(condition_size, last) if condition_size else None

    def forward(self, example: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W), under conditions (N, K) where there are some, to (N,) scores."""
        features = self.features(example)
        score = self.head(features).squeeze(1)
        if self.embedding is None:
            return score
        assert condition is not None
        return score + (self.embedding(condition) * features).sum(1) / math.sqrt(features.shape[1])
