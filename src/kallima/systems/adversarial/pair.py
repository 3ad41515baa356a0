"""The pair of networks that a two-player game is played with, for points and for images."""

from typing import cast

import torch
from torch import nn

from kallima.conditions import Conditions
from kallima.data.spec import Field, Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.minibatch_discrimination import MinibatchDiscrimination
from kallima.layers.packing import Pack
from kallima.layers.spectral import spectrally_normalised
from kallima.layers.virtual_batch_norm import VirtuallyNormalised
from kallima.networks.conditional import ConcatenationDiscriminator, ProjectionDiscriminator
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from kallima.networks.discriminator import Discriminator
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.networks.r3 import R3Discriminator, R3Generator
from kallima.networks.resnet import ResNetDiscriminator, ResNetGenerator
from kallima.networks.spectral import SpectralDiscriminator
from kallima.systems.adversarial.settings import Networks, Stabilisers

REFERENCE = 64
"""Latents in the reference batch of virtual batch normalisation."""


def data_field(spec: Spec) -> str:
    """Name the field that a generator forges: points where the data has them, else images, else videos."""
    return next((name for name in ("points", "image", "video") if name in spec), "image")


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


def conditional_pair(
    spec: Spec, networks: Networks, stabilisers: Stabilisers, conditions: Conditions, *, projection: bool
) -> tuple[nn.Module, Discriminator]:
    """Build a pair under conditions: the generator takes them after the latent, the discriminator besides an example.

    With a `projection` the discriminator compares the condition with its features, else it sees it with the example.

    Raises:
        UsageError: a stabiliser that these networks have no place for.
    """
    for name, there in {
        "--pack": stabilisers.pack > 1,
        "--minibatch-discrimination": stabilisers.minibatch_discrimination > 0,
        "--virtual-batch-norm": stabilisers.virtual_batch_norm,
        "--consensus": stabilisers.consensus > 0,
    }.items():
        if there:
            raise UsageError(f"{name} has no place in networks with conditions: leave it out")
    generator = build_generator(spec, networks, condition_size=conditions.size)
    if projection:
        plain = build_discriminator(spec, networks, stabilisers)
        discriminator: Discriminator = ProjectionDiscriminator(plain, conditions.size)
        if any(hasattr(part, "parametrizations") for part in plain.modules()):
            spectrally_normalised(discriminator)
        return generator, discriminator
    field = _field(spec)
    if isinstance(field, Points):
        wider: Field = Points(field.dimensions + conditions.size)
    else:
        wider = Image(field.channels + conditions.size, field.height, field.width)
    seen = Spec({**spec.fields, data_field(spec): wider})
    return generator, ConcatenationDiscriminator(build_discriminator(seen, networks, stabilisers))


def build_encoder(spec: Spec, networks: Networks, outputs: int) -> nn.Module:
    """Build a network that takes examples (N, …) to (N, outputs): a discriminator's body, with as many more outputs."""
    discriminator = build_discriminator(spec, networks)
    assert isinstance(discriminator.head, nn.Linear)
    return nn.Sequential(discriminator.body, nn.Linear(discriminator.head.in_features, outputs))


def build_generator(spec: Spec, networks: Networks, *, condition_size: int = 0) -> nn.Module:
    """Build the generator alone; with a `condition_size` K its input is (N, latent_dim + K)."""
    field, body = _field(spec), _body(spec, networks.generator)
    dense, points = body == "mlp", isinstance(field, Points)
    latent_dim = networks.latent_dim or (16 if points else 64 if body in ("mlp", "r3") else 100)
    width = networks.width or _default_width(field, dense)
    if dense:
        return MLPGenerator(latent_dim, field.shape, width=width, depth=networks.depth, condition_size=condition_size)
    assert isinstance(field, Image)
    kind = {"dcgan": DCGANGenerator, "resnet": ResNetGenerator, "r3": R3Generator}[body]
    return kind(latent_dim, field, width=width, condition_size=condition_size)


def build_discriminator(spec: Spec, networks: Networks, stabilisers: Stabilisers = Stabilisers()) -> Discriminator:
    """Build the discriminator alone, with those stabilisers that change it.

    Raises:
        UsageError: convolutions for points, or spectral normalisation for weights that begin as 0.
    """
    field, count = _field(spec), stabilisers.pack
    partner = {"mlp": "mlp", "dcgan": "dcgan", "resnet": "plain", "r3": "r3"}[_body(spec, networks.generator)]
    body = _body(spec, partner if networks.discriminator == "auto" else networks.discriminator)
    if body == "r3" and stabilisers.spectral_norm:
        raise UsageError("r3's blocks begin with weights of 0, which spectral normalisation divides by: leave one out")
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
            kinds = {"plain": SpectralDiscriminator, "resnet": ResNetDiscriminator, "r3": R3Discriminator}
            discriminator = kinds[body](packed, width=width)
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
