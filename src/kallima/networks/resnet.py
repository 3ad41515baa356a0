"""A small residual pair after Miyato et al. 2018 (arXiv:1802.05957, table 4), for images of 8 to 256 pixels.

Every weight of the discriminator is spectrally normalised. The paper's networks are reshaped so that they train without
a GPU, for a fraction of the work:

- the finest level is folded into channels (pixel shuffle, Shi et al. 2016), so no residual block runs at full size;
- a convolution and the resampling beside it are one 4 x 4 convolution of stride 2 (as in Karras et al. 2018);
- 1 x 1 shortcuts run on the smaller side of a resampling, which gives the same values: they commute with
  nearest-neighbour upsampling and with average pooling;
- the discriminator's last features are weighed place by place instead of summed over the image, which forgets where
  things are (letters of 32 x 32 pixels came out far worse).
"""

import itertools
import math

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kallima.data.spec import Image
from kallima.layers.conditional_norm import Conditioned, ConditionedSequential, batch_norm
from kallima.layers.glorot import glorot
from kallima.layers.pyramid import pyramid
from kallima.networks.discriminator import Discriminator

MOST = 4


class GeneratorBlock(Conditioned):
    """(N, before, H, W) to (N, after, 2H, 2W): normalise, activate, convolve, twice over, plus a shortcut."""

    def __init__(self, before: int, after: int, condition_size: int = 0):
        super().__init__()
        self.residual = ConditionedSequential(
            batch_norm(before, condition_size),
            nn.ReLU(),
            glorot(nn.ConvTranspose2d(before, after, 4, 2, 1), math.sqrt(2)),
            batch_norm(after, condition_size),
            nn.ReLU(),
            glorot(nn.Conv2d(after, after, 3, 1, 1), math.sqrt(2)),
        )
        self.shortcut = nn.Sequential(glorot(nn.Conv2d(before, after, 1)), nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the features of the next level."""
        return self.residual(x, condition) + self.shortcut(x)


class DiscriminatorBlock(nn.Module):
    """(N, before, H, W) to (N, after, H/2, W/2), or the same size where it doesn't `shrink`; spectrally normalised.

    Activate, convolve, twice over, plus a shortcut.
    """

    def __init__(self, before: int, after: int, *, shrink: bool):
        super().__init__()
        last = nn.Conv2d(before, after, 4, 2, 1) if shrink else nn.Conv2d(before, after, 3, 1, 1)
        self.residual = nn.Sequential(
            nn.ReLU(),
            spectral_norm(glorot(nn.Conv2d(before, before, 3, 1, 1), math.sqrt(2))),
            nn.ReLU(),
            spectral_norm(glorot(last, math.sqrt(2))),
        )
        self.shortcut: nn.Module = nn.Identity()
        if shrink:
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), spectral_norm(glorot(nn.Conv2d(before, after, 1))))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the next level."""
        return self.residual(x) + self.shortcut(x)


class ResNetGenerator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]; `width` is the number of channels at half the image's size.

    With a `condition_size` K it takes (N, latent_dim + K), the condition last, which also steers its normalisation.
    """

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64, condition_size: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.folded_channels(width, MOST)[::-1]
        self.grid = (channels[0], *plan.grid)
        self.project = glorot(nn.Linear(latent_dim + condition_size, channels[0] * plan.area))
        blocks = (GeneratorBlock(before, after, condition_size) for before, after in itertools.pairwise(channels))
        self.blocks = ConditionedSequential(*blocks)
        self.paint = ConditionedSequential(
            batch_norm(channels[-1], condition_size),
            nn.ReLU(),
            glorot(nn.Conv2d(channels[-1], colours * plan.fold**2, 3, 1, 1)),
            nn.PixelShuffle(plan.fold),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        condition = latent[:, self.latent_dim :]
        return self.paint(self.blocks(self.project(latent).unflatten(1, self.grid), condition), condition)


class ResNetDiscriminator(Discriminator):
    """Images (N, C, H, W) to one score each; `width` is the number of channels at half the image's size."""

    def __init__(self, image: Image, *, width: int = 64):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.folded_channels(width, MOST)
        body = nn.Sequential(
            nn.PixelUnshuffle(plan.fold),
            spectral_norm(glorot(nn.Conv2d(colours * plan.fold**2, channels[0], 3, 1, 1))),
            *(DiscriminatorBlock(before, after, shrink=True) for before, after in itertools.pairwise(channels)),
            DiscriminatorBlock(channels[-1], channels[-1], shrink=False),
            nn.ReLU(),
            nn.Flatten(),
        )
        super().__init__(body, spectral_norm(glorot(nn.Linear(channels[-1] * plan.area, 1))))
