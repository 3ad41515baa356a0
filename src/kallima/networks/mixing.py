"""Dense layers in which the parts of a latent, and the features of all places, meet (Chen et al. 2016, appendix C.1).

A latent that goes straight to a grid of features moves each of them in proportion; through a dense layer first, a
category can change what the rest of the latent means. The same on the way back: a category is read off whole images.
"""

from torch import Tensor, nn

from kallima.networks.dcgan import initialise
from kallima.networks.discriminator import Discriminator

SLOPE = 0.1


class MixingGenerator(nn.Module):
    """Latents (N, latent_dim), through a dense layer with batch normalisation, are the latents of `generator`."""

    def __init__(self, latent_dim: int, generator: nn.Module, units: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.mix = nn.Sequential(nn.Linear(latent_dim, units, bias=False), nn.BatchNorm1d(units), nn.ReLU())
        self.mix.apply(initialise)
        self.generator = generator

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_dim) to (N, …)."""
        return self.generator(self.mix(latent))


def mixing_discriminator(discriminator: Discriminator, units: int) -> Discriminator:
    """Return a discriminator whose features are a dense layer of `units`, batch-normalised, over those of another."""
    assert isinstance(discriminator.head, nn.Linear)
    mix = nn.Sequential(
        nn.Linear(discriminator.head.in_features, units, bias=False), nn.BatchNorm1d(units), nn.LeakyReLU(SLOPE)
    )
    mixing = Discriminator(nn.Sequential(discriminator.body, mix), nn.Linear(units, 1))
    mix.apply(initialise)
    mixing.head.apply(initialise)
    return mixing
