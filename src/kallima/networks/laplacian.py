"""The networks of a Laplacian pyramid: one that paints an image coarse to fine, and those that judge its details."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.layers.laplacian import up
from kallima.networks.discriminator import Discriminator
from kallima.networks.mlp import MLPGenerator


class DetailGenerator(nn.Module):
    """A coarse image (N, C, H, W), a plane of noise (N, 1, H, W) and a condition (N, K) to details (N, C, H, W).

    Three convolutions, as in the paper's networks, on squares of 2 x 2 pixels folded into channels: a quarter of the
    work, and twice the reach.
    """

    def __init__(self, image: Image, *, width: int, condition_size: int = 0):
        super().__init__()
        self.image = image
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * (image.channels + 1 + condition_size), width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, 4 * image.channels, 3, 1, 1),
            nn.PixelShuffle(2),
        )

    def forward(self, coarse: Tensor, noise: Tensor, condition: Tensor) -> Tensor:
        """Return the details of the coarse image; add them to it, and it is an image of this size."""
        return self.body(torch.cat([coarse, noise, planes(condition, coarse)], 1))


class DetailDiscriminator(Discriminator):
    """Judges an image (N, C, H, W), the coarse one and its details together, beside the coarse one and a condition."""

    def __init__(self, image: Image, *, width: int, condition_size: int = 0):
        _, height, columns = image.shape
        body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * (2 * image.channels + condition_size), width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        super().__init__(body, nn.Linear(2 * width * (height // 4) * (columns // 4), 1))

    def features(self, example: Tensor, coarse: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, H, W), the coarse image of the same shape and conditions (N, K) to (N, F)."""
        return self.body(torch.cat([example, coarse, planes(condition, coarse)], 1))

    def forward(self, example: Tensor, coarse: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, H, W), the coarse image of the same shape and conditions (N, K) to (N,) scores."""
        return self.head(self.features(example, coarse, condition)).squeeze(1)


class LaplacianGenerator(nn.Module):
    """Latents (N, latent_dim) to images in [-1, 1]: the coarsest by a dense network, then details, size by size.

    A latent is that of the coarsest image and the planes of noise, coarse to fine. With a `condition_size` K it takes
    (N, latent_dim + K), the condition last. `levels[0]` is the coarsest generator, the others those of details.
    """

    def __init__(self, coarsest: MLPGenerator, details: Sequence[DetailGenerator]):
        super().__init__()
        self.levels = nn.ModuleList([coarsest, *details])
        self.shapes = [detail.image.shape for detail in details]
        self.coarsest_dim = coarsest.latent_dim
        self.planes = [height * width for _, height, width in self.shapes]
        self.latent_dim = self.coarsest_dim + sum(self.planes)

    def coarsest(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Return the coarsest images of latents (N, coarsest_dim) under conditions (N, K)."""
        return self.levels[0](torch.cat([latent, condition], 1))

    def refined(self, level: int, coarse: Tensor, noise: Tensor, condition: Tensor) -> Tensor:
        """Return the images (N, C, H, W) of a level from coarse ones of this size, noise (N, 1, H, W) and conditions.

        They are cut off at the ends of [-1, 1], which a plain sum would overshoot.
        """
        return (coarse + self.levels[level](coarse, noise, condition)).clamp(-1, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        first, *noises, condition = latent.split(
            [self.coarsest_dim, *self.planes, latent.shape[1] - self.latent_dim], 1
        )
        image = self.coarsest(first, condition)
        for level, (noise, (_, height, width)) in enumerate(zip(noises, self.shapes, strict=True), start=1):
            image = self.refined(level, up(image), noise.unflatten(1, (1, height, width)), condition)
        return image


def planes(condition: Tensor, image: Tensor) -> Tensor:
    """Spread each number of conditions (N, K) over a plane: (N, K, H, W), as large as the image (N, C, H, W)."""
    return condition[:, :, None, None].expand(-1, -1, *image.shape[2:])
