"""Weights of variance-keeping size (Glorot & Bengio 2010)."""

from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear)


def glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """Draw the weights from the uniform Glorot distribution times `gain`, set the biases to 0; return the layer."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
