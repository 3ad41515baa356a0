"""A fixed convolutional network with random weights: features that are always there, for data without labels.

Distances of random convolutional features order generators sensibly (Naeem et al. 2020, §3.3 use a random VGG) but know
nothing of what the images show; compare their values only with one another.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from kallima.data.spec import Image
from kallima.evaluation.features.extractor import (
    describe_resize,
    frozen,
    run_in_batches,
    squared,
    weights_hash,
    working_size,
)

_WIDTHS = (32, 64, 32)


class RandomFeatures:
    """Three strided convolutions with ReLU, averaged over quarters of the image: 128 features."""

    name = "random"
    range = "[-1, 1]"
    accuracy = None
    notes = ("random features know nothing of what the images show",)

    def __init__(self, image: Image, *, device: torch.device | str = "cpu", batch_size: int = 250):
        self.size, self.batch_size, self.device = working_size(image), batch_size, torch.device(device)
        self.resize = describe_resize(image, self.size)
        with torch.device("meta"):  # torch draws nothing
            network = _network(image.channels)
        weights = _weights(network)
        self.version = weights_hash(weights)
        network.load_state_dict(weights, assign=True)
        self.network = frozen(network, self.device)

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, 128) of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.network(squared(batch, self.size)),
            images,
            batch_size=self.batch_size,
            device=self.device,
        )


def _network(channels: int) -> nn.Sequential:
    first, second, third = _WIDTHS
    return nn.Sequential(
        nn.Conv2d(channels, first, 5, 2, 2, bias=False),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, 2, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(second, third, 3, 2, 1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )


def _weights(network: nn.Sequential) -> dict[str, Tensor]:
    """Draw each convolution's weights uniformly, with the variance that a ReLU keeps (He et al. 2015)."""
    # the raw output of PCG64 is the same with every numpy and torch; their samplers are not promised to stay
    bits = np.random.PCG64(20_140_610)
    weights = {}
    for name, empty in network.state_dict().items():
        uniform = (bits.random_raw(empty.numel()) >> np.uint64(11)) * 2.0**-53  # [0, 1)
        bound = math.sqrt(6 / empty[0].numel())
        weights[name] = torch.from_numpy((uniform * 2 - 1) * bound).float().view(empty.shape)
    return weights
