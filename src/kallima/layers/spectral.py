"""Spectral normalisation of whole networks (Miyato et al. 2018, arXiv:1802.05957)."""

from typing import Final, TypeVar

from torch import nn
from torch.nn.utils import parametrizations

LAYERS: Final = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)

Network = TypeVar("Network", bound=nn.Module)


def spectrally_normalised(network: Network) -> Network:
    """Divide each weight of `network` by its largest singular value, except where that is done already; return it.

    A weight is looked at as a matrix with a row for each output; that is its second axis in a transposed convolution,
    which torch knows. Biases and the weights of normalisation layers are left as they are.
    """
    for layer in [part for part in network.modules() if isinstance(part, LAYERS)]:
        if not _normalised(layer):
            parametrizations.spectral_norm(layer)
    return network


def _normalised(layer: nn.Module) -> bool:
    return any(isinstance(part, parametrizations._SpectralNorm) for part in layer.modules())
