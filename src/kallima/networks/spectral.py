"""A plain convolutional discriminator with spectral normalisation (Miyato et al. 2018, arXiv:1802.05957, table 3).

The paper's 3 x 3 convolutions at the size of the image are replaced by folding the finest level into channels (pixel
unshuffle), which saves most of the work; LeakyReLU(0.1) and the dense last layer are the paper's.
"""

import itertools

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from kallima.data.spec import Image
from kallima.layers.glorot import glorot
from kallima.layers.pyramid import pyramid
from kallima.networks.discriminator import Discriminator

MOST = 4


class SpectralDiscriminator(Discriminator):
    """Images (N, C, H, W) to one score each; `width` is the number of channels at half the image's size."""

    def __init__(self, image: Image, *, width: int = 64):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.folded_channels(width, MOST)
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(plan.fold),
            spectral_norm(glorot(nn.Conv2d(colours * plan.fold**2, channels[0], 3, 1, 1))),
            nn.LeakyReLU(0.1),
        ]
        for before, after in itertools.pairwise(channels):
            layers += [spectral_norm(glorot(nn.Conv2d(before, after, 4, 2, 1))), nn.LeakyReLU(0.1)]
        head = spectral_norm(glorot(nn.Linear(channels[-1] * plan.area, 1)))
        super().__init__(nn.Sequential(*layers, nn.Flatten()), head)
