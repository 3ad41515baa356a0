"""Autoencoders, dense and convolutional: what judges examples by how well it can rebuild them, and what codes them.

Nothing in them lets examples of a batch meet, so each is rebuilt alone.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.glorot import glorot
from kallima.layers.pyramid import pyramid
from kallima.networks.mlp import MLPGenerator, hidden_layers

MOST = 8


class Autoencoder(nn.Module):
    """`encoder` takes examples (N, …) to codes (N, K), `decoder` codes back to examples."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, example: Tensor) -> Tensor:
        """(N, …) to (N, …): rebuild each example from its code."""
        return self.decoder(self.encoder(example))


class MLPAutoencoder(Autoencoder):
    """Examples of `shape` through `codes` numbers; as in `MLPGenerator`, images end in tanh."""

    def __init__(self, shape: Sequence[int], codes: int, *, width: int = 128, depth: int = 3):
        inputs = math.prod(shape)
        last = nn.Linear(width if depth else inputs, codes)
        encoder = nn.Sequential(nn.Flatten(), *hidden_layers(inputs, width, depth), last)
        super().__init__(encoder, MLPGenerator(codes, shape, width=width, depth=depth))


class ConvolutionalAutoencoder(Autoencoder):
    """Images (N, C, H, W) through `codes` numbers, by DCGAN's strided convolutions there and back.

    `width` is the number of channels at half the image's size. There is no batch normalisation, in which real examples
    and fakes would meet; weights are drawn so that they keep the variance without it.
    """

    def __init__(self, image: Image, codes: int, *, width: int = 64):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        down = [colours, *plan.channels(width, MOST)]
        up = [*plan.channels(width, MOST)[::-1], colours]
        grid = (up[0], *plan.grid)
        shrink: list[nn.Module] = []
        for before, after in itertools.pairwise(down):
            shrink += [glorot(nn.Conv2d(before, after, 4, 2, 1), math.sqrt(2)), nn.LeakyReLU(0.2)]
        grow: list[nn.Module] = [glorot(nn.Linear(codes, math.prod(grid))), nn.Unflatten(1, grid)]
        for before, after in itertools.pairwise(up):
            grow += [nn.ReLU(), glorot(nn.ConvTranspose2d(before, after, 4, 2, 1), math.sqrt(8))]  # 4 taps of 16 meet
        encoder = nn.Sequential(*shrink, nn.Flatten(), glorot(nn.Linear(math.prod(grid), codes)))
        super().__init__(encoder, nn.Sequential(*grow, nn.Tanh()))
