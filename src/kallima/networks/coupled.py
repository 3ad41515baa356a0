"""Two networks that share layers, of DCGAN's make: the coupled pair of CoGAN (Liu & Tuzel 2016, arXiv:1606.07536)."""

import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.errors import UsageError
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator

DOMAINS = 2


class CoupledGenerator(nn.Module):
    """Two DCGAN generators with all layers in common but the last `own_layers` convolutions: one latent, two images.

    `width` is the number of channels at half the image's size.

    Raises:
        UsageError: there are not so many convolutions.
    """

    def __init__(self, latent_dim: int, image: Image, *, width: int = 64, own_layers: int = 1):
        super().__init__()
        self.latent_dim = latent_dim
        first, second = (DCGANGenerator(latent_dim, image, width=width) for _ in range(DOMAINS))
        cut = _convolutions(first.grow, own_layers)[-own_layers]
        self.project, self.grid, self.shared = first.project, first.grid, first.grow[:cut]
        self.own = nn.ModuleList([first.grow[cut:], second.grow[cut:]])

    def both(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(N, latent_dim) to an image (N, C, H, W) of the first domain and its counterpart of the second."""
        common = self.shared(self.project(latent).unflatten(1, self.grid))
        first, second = (own(common) for own in self.own)
        return first, second

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim + 2), the domain last and one-hot, to images (N, C, H, W) of that domain."""
        first, second = self.both(latent[:, : self.latent_dim])
        asked = latent[:, self.latent_dim :]
        return torch.where((asked[:, 0] >= asked[:, 1])[:, None, None, None], first, second)


class CoupledDiscriminator(nn.Module):
    """Two DCGAN discriminators with all layers in common but the first `own_layers` convolutions.

    Without batch normalisation: each image is judged alone.

    Raises:
        UsageError: there are not so many convolutions.
    """

    def __init__(self, image: Image, *, width: int = 64, own_layers: int = 1):
        super().__init__()
        first, second = (DCGANDiscriminator(image, width=width, batch_norm=False) for _ in range(DOMAINS))
        assert isinstance(first.body, nn.Sequential)
        assert isinstance(second.body, nn.Sequential)
        cut = _convolutions(first.body, own_layers)[own_layers - 1] + 2  # with its activation
        self.own = nn.ModuleList([first.body[:cut], second.body[:cut]])
        self.shared = nn.Sequential(first.body[cut:], first.head)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Images of the first domain (N, C, H, W) and of the second (M, C, H, W) to scores (N,) and (M,)."""
        described = torch.cat([own(image) for own, image in zip(self.own, (first, second), strict=True)])
        scores = self.shared(described).squeeze(1)
        return scores[: len(first)], scores[len(first) :]


def _convolutions(layers: nn.Sequential, own_layers: int) -> list[int]:
    """Return the places of the convolutions, of which `own_layers` are to be a domain's own."""
    places = [i for i, layer in enumerate(layers) if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    if not 1 <= own_layers <= len(places):
        raise UsageError(f"--own-layers counts convolutions from 1 to the {len(places)} that these images take")
    return places
