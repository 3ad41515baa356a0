"""The encoder and the decoder that a recipe asks for."""

from torch import nn

from kallima.data.spec import Image, Spec
from kallima.networks.coders import ConvolutionalDecoder, ConvolutionalEncoder, DenseDecoder, DenseEncoder
from kallima.systems.autoencoders.settings import Coders

DENSE_AREA = 32 * 32
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def coders(
    spec: Spec, settings: Coders, *, outputs: int, inputs: int, numbers: int = 1, condition_size: int = 0
) -> tuple[nn.Module, nn.Module]:
    """Build an encoder, images (and conditions) to (N, outputs), and a decoder, codes to (N, numbers · C, H, W)."""
    image = spec["image"]
    assert isinstance(image, Image)
    colours, height, columns = image.shape
    small = colours == 1 and height * columns <= DENSE_AREA
    if settings.network == "dense" or (settings.network == "auto" and small):
        width, depth, activation = settings.width or 512, settings.depth, ACTIVATIONS[settings.activation]
        return (
            DenseEncoder(
                image, outputs, width=width, depth=depth, activation=activation, condition_size=condition_size
            ),
            DenseDecoder(image, inputs, width=width, depth=depth, activation=activation, numbers=numbers),
        )
    width = settings.width or 32
    return (
        ConvolutionalEncoder(image, outputs, width=width, condition_size=condition_size),
        ConvolutionalDecoder(image, inputs, width=width, numbers=numbers),
    )


def encoder(spec: Spec, settings: Coders, outputs: int) -> nn.Module:
    """Build one more network of the encoder's kind, images to (N, outputs)."""
    return coders(spec, settings, outputs=outputs, inputs=1)[0]
