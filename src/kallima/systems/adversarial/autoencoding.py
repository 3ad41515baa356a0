"""The networks of games whose discriminator is an autoencoder: the generator, and what rebuilds examples."""

from torch import nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.autoencoder import Autoencoder, ConvolutionalAutoencoder, MLPAutoencoder
from kallima.systems.adversarial.pair import build_generator, data_field
from kallima.systems.adversarial.settings import Networks


def autoencoding_pair(spec: Spec, networks: Networks, codes: int) -> tuple[nn.Module, Autoencoder]:
    """Build the generator, and an autoencoder with codes (N, codes) of the body that `networks.discriminator` names.

    Raises:
        UsageError: a body that has no way back from features to examples.
    """
    generator, field = build_generator(spec, networks), spec[data_field(spec)]
    body = networks.discriminator if networks.discriminator != "auto" else networks.generator
    if networks.discriminator in ("plain", "resnet"):
        raise UsageError(
            f"the discriminator here is an autoencoder, and '{body}' has no way back: give --discriminator mlp or dcgan"
        )
    if isinstance(field, Points):
        return generator, MLPAutoencoder(field.shape, codes, width=networks.width or 128, depth=networks.depth)
    assert isinstance(field, Image)
    if body == "mlp":
        return generator, MLPAutoencoder(field.shape, codes, width=networks.width or 512, depth=networks.depth)
    return generator, ConvolutionalAutoencoder(field, codes, width=networks.width or 64)
