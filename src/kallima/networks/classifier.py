"""Networks that tell what is in an image of any size, and the one that judges labels beside what they saw.

Each backbone ends in the largest value of every channel over the image, or in the mean: what is somewhere in the image
is in the image, wherever it is.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from kallima.layers.glorot import glorot
from kallima.networks.discriminator import Discriminator

SLOPE = 0.2
_COARSEST = 8  # pixels: the shorter side is halved while it stays as long as this
_MOST = 8  # times `width`: channels grow no further


def _channels(height: int, width: int, channels: int) -> list[int]:
    """Return the channels of each halving and of what follows the last, doubling from `channels`."""
    halvings = max(1, int(math.log2(max(min(height, width) / _COARSEST, 1))))
    return [channels * min(2**level, _MOST) for level in range(halvings + 1)]


def _unit(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    # torch's own first weights: behind a batch norm larger ones would only learn more slowly
    return [nn.Conv2d(before, after, kernel, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


class Backbone(nn.Module):
    """Images (N, C, H, W) to features (N, `features`)."""

    def __init__(self, layers: list[nn.Module], features: int, *, mean: bool = False):
        super().__init__()
        pool = nn.AdaptiveAvgPool2d(1) if mean else nn.AdaptiveMaxPool2d(1)
        self.features = features
        self.layers = nn.Sequential(*layers, pool, nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Return what is seen in the images."""
        return self.layers(images)


def small(colours: int, height: int, width: int, *, channels: int) -> Backbone:
    """One convolution a level, of stride 2, and a last one: three in all for images of 32 pixels."""
    own = _channels(height, width, channels)
    layers = _unit(colours, own[0], 4, 2)
    for before, after in itertools.pairwise(own[:-1]):
        layers += _unit(before, after, 4, 2)
    return Backbone([*layers, *_unit(own[-2], own[-1])], own[-1])


def vgg(colours: int, height: int, width: int, *, channels: int) -> Backbone:
    """Two 3 × 3 convolutions a level, then the largest of 2 × 2 (Simonyan & Zisserman 2015), batch-normalised."""
    own = _channels(height, width, channels)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([colours, *own]):
        layers += [*_unit(before, after), *_unit(after, after), nn.MaxPool2d(2)]
    return Backbone(layers[:-1], own[-1])


class ResidualBlock(nn.Module):
    """ReLU(f(x) + x), f two batch-normalised convolutions (He et al. 2016): (N, before, H, W) to `after` channels.

    Where it does `shrink` both sides are halved, and x is projected.
    """

    def __init__(self, before: int, after: int, *, shrink: bool):
        super().__init__()
        stride = 2 if shrink else 1
        second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.residual = nn.Sequential(*_unit(before, after, 3, stride), second, nn.BatchNorm2d(after))
        self.shortcut: nn.Module = nn.Identity()
        if shrink or before != after:
            projection = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features."""
        return (self.residual(x) + self.shortcut(x)).relu()


def resnet(colours: int, height: int, width: int, *, channels: int) -> Backbone:
    """A convolution of stride 2, then two residual blocks a level (He et al. 2016)."""
    own = _channels(height, width, channels)
    layers = _unit(colours, own[0], 4, 2)
    for level, (before, after) in enumerate(itertools.pairwise([own[0], *own[:-1]])):
        layers += [ResidualBlock(before, after, shrink=level > 0), ResidualBlock(after, after, shrink=False)]
    return Backbone([*layers, *_unit(own[-2], own[-1])], own[-1])


BACKBONES = {"small": small, "vgg": vgg, "resnet": resnet}


class Classifier(nn.Module):
    """Images to a logit for each of `labels`: a backbone, dropout, and a head with one hidden layer.

    The head is where labels can learn of one another.
    """

    def __init__(self, backbone: Backbone, labels: int, *, hidden: int, dropout: float):
        super().__init__()
        self.body = nn.Sequential(backbone, nn.Dropout(dropout))
        self.head = nn.Sequential(
            *(glorot(nn.Linear(backbone.features, hidden), math.sqrt(2)), nn.ReLU()), glorot(nn.Linear(hidden, labels))
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to features (N, F) and logits (N, K)."""
        features = self.body(images)
        return features, self.head(features)


class LabelDiscriminator(Discriminator):
    """Scores labels (N, K) beside what was seen in the image (N, F)."""

    def __init__(self, features: int, labels: int, *, width: int):
        layers = (
            *(glorot(nn.Linear(features + labels, width), math.sqrt(2)), nn.LeakyReLU(SLOPE)),
            *(glorot(nn.Linear(width, width), math.sqrt(2)), nn.LeakyReLU(SLOPE)),
        )
        super().__init__(nn.Sequential(*layers), glorot(nn.Linear(width, 1)))

    def features(self, seen: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """(N, F) and (N, K) to (N, width)."""
        return self.body(torch.cat([seen, labels], 1))

    def forward(self, seen: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """(N, F) and (N, K) to (N,) scores."""
        return self.head(self.features(seen, labels)).squeeze(1)
