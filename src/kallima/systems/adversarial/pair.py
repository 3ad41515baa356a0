"""The pair of networks that a two-player game is played with, for points and for images."""

from typing import cast

import torch
from torch import nn

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.minibatch_discrimination import MinibatchDiscrimination
from kallima.layers.packing import Pack
from kallima.layers.spectral import spectrally_normalised
from kallima.layers.virtual_batch_norm import VirtuallyNormalised
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from kallima.networks.discriminator import Discriminator
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.networks.resnet import ResNetDiscriminator, ResNetGenerator
from kallima.networks.spectral import SpectralDiscriminator
from kallima.systems.adversarial.settings import Networks, Stabilisers

REFERENCE = 64
"""Latents in the reference batch of virtual batch normalisation."""


def data_field(spec: Spec) -> str:
    """Name the field that a generator forges: points where the data has them, else images."""
    return "points" if "points" in spec else "image"


def pair(spec: Spec, networks: Networks, stabilisers: Stabilisers = Stabilisers()) -> tuple[nn.Module, Discriminator]:
    """Build the generator, latents (N, generator.latent_dim) to examples, and the discriminator, examples to scores.

    Raises:
        UsageError: convolutions for points, or a stabiliser that these networks have no place for.
    """
    generator = build_generator(spec, networks)
    discriminator = build_discriminator(spec, networks, stabilisers)
    if stabilisers.virtual_batch_norm:
        if not has_batch_norm(generator):
            raise UsageError(
                "--virtual-batch-norm takes the place of batch normalisation, which this generator has not"
            )
        generator = VirtuallyNormalised(generator, torch.randn(REFERENCE, cast(int, generator.latent_dim)))
    return generator, discriminator


def build_generator(spec: Spec, networks: Networks) -> nn.Module:
    """Build the generator alone."""
    field, body = _field(spec), _body(spec, networks.generator)
    dense, points = body == "mlp", isinstance(field, Points)
    latent_dim = networks.latent_dim or (16 if points else 64 if dense else 100)
    width = networks.width or _default_width(field, dense)
    if dense:
        return MLPGenerator(latent_dim, field.shape, width=width, depth=networks.depth)
    assert isinstance(field, Image)
    return {"dcgan": DCGANGenerator, "resnet": ResNetGenerator}[body](latent_dim, field, width=width)


def build_discriminator(spec: Spec, networks: Networks, stabilisers: Stabilisers = Stabilisers()) -> Discriminator:
    """Build the discriminator alone, with those stabilisers that change it."""
    field, count = _field(spec), stabilisers.pack
    partner = {"mlp": "mlp", "dcgan": "dcgan", "resnet": "plain"}[_body(spec, networks.generator)]
    body = _body(spec, partner if networks.discriminator == "auto" else networks.discriminator)
    width = networks.width or _default_width(field, body == "mlp")
    discriminator: Discriminator
    if body == "mlp":
        shape = (count * field.shape[0], *field.shape[1:])
        discriminator = MLPDiscriminator(shape, width=width, depth=networks.depth)
    else:
        assert isinstance(field, Image)
        packed = Image(count * field.channels, field.height, field.width)
        if body == "dcgan":
            norm = networks.discriminator_norm
            batch_norm = norm == "batch" or (norm == "auto" and not stabilisers.alone)
            discriminator = DCGANDiscriminator(packed, width=width, batch_norm=batch_norm)
        else:
            discriminator = {"plain": SpectralDiscriminator, "resnet": ResNetDiscriminator}[body](packed, width=width)
    if kernels := stabilisers.minibatch_discrimination:
        assert isinstance(discriminator.head, nn.Linear)
        features = discriminator.head.in_features
        discriminator.head = nn.Sequential(MinibatchDiscrimination(features, kernels), nn.Linear(features + kernels, 1))
    if count > 1:
        discriminator.body = nn.Sequential(Pack(count), discriminator.body)
    return spectrally_normalised(discriminator) if stabilisers.spectral_norm else discriminator


def has_batch_norm(network: nn.Module) -> bool:
    """Say whether examples of a batch meet in the network through its normalisation."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())


def _field(spec: Spec) -> Points | Image:
    field = spec[data_field(spec)]
    assert isinstance(field, (Points, Image))
    return field


def _body(spec: Spec, body: str) -> str:
    if "points" in spec:
        if body not in ("auto", "mlp"):
            raise UsageError(f"'{body}' is made of convolutions, and points have no pixels: leave it out or give mlp")
        return "mlp"
    return "dcgan" if body == "auto" else body


def _default_width(field: Points | Image, dense: bool) -> int:
    return (128 if isinstance(field, Points) else 512) if dense else 64
