"""The convolutional pair of DCGAN (Radford et al. 2015, arXiv:1511.06434), for images of 8 to 256 pixels.

Strided convolutions instead of pooling, no hidden dense layers, batch normalisation everywhere but at the generator's
output and the discriminator's input, ReLU in the generator with tanh at the end, LeakyReLU(0.2) in the discriminator,
weights from N(0, 0.02²) (section 3). 4 x 4 kernels, as in the authors' code, where the paper's figure has 5 x 5.
"""

import itertools

from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.conditional_norm import ConditionedSequential, batch_norm
from kallima.layers.pyramid import pyramid
from kallima.networks.discriminator import Discriminator

MOST = 8


def initialise(module: nn.Module) -> None:
    """Draw the weights of a layer as DCGAN does: `network.apply(initialise)`."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]; `width` is the number of channels at half the image's size.

    With a `condition_size` K it takes (N, latent_dim + K), the condition last, which also steers its normalisation.
    """

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64, condition_size: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.channels(width, MOST)[::-1]
        self.grid = (channels[0], *plan.grid)
        inputs = latent_dim + condition_size
        self.project = nn.Linear(inputs, channels[0] * plan.grid[0] * plan.grid[1], bias=False)
        layers: list[nn.Module] = [batch_norm(channels[0], condition_size), nn.ReLU()]
        for before, after in itertools.pairwise(channels):
            convolution = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
            layers += [convolution, batch_norm(after, condition_size), nn.ReLU()]
        self.grow = ConditionedSequential(*layers, nn.ConvTranspose2d(channels[-1], colours, 4, 2, 1), nn.Tanh())
        self.apply(initialise)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        return self.grow(self.project(latent).unflatten(1, self.grid), latent[:, self.latent_dim :])


class DCGANDiscriminator(Discriminator):
    """Images (N, C, H, W) to one score each; `width` is the number of channels at half the image's size.

    Without `batch_norm` each image is judged alone, as gradient penalties need it.
    """

    def __init__(self, image: Image, *, width: int = 64, batch_norm: bool = True):
        colours, height, columns = image.shape
        plan = pyramid(height, columns)
        channels = plan.channels(width, MOST)
        layers: list[nn.Module] = [nn.Conv2d(colours, channels[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(channels):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(nn.Sequential(*layers, nn.Flatten()), nn.Linear(channels[-1] * plan.area, 1))
        self.apply(initialise)
