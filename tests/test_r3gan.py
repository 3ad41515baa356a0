"""R3GAN's networks: how they begin, what is in them, and whether they learn; and when the recipe has them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kallima.data.spec import Image, Label, Points, Spec
from kallima.errors import UsageError
from kallima.networks.dcgan import DCGANGenerator
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.networks.r3 import (
    GAIN,
    BiasedActivation,
    Block,
    DiscriminativeBasis,
    Enlarge,
    GenerativeBasis,
    R3Discriminator,
    R3Generator,
    Shrink,
)
from kallima.recipe import get_recipe
from tests.test_learning import scores

IMAGE = Image(3, 32, 32)


@pytest.fixture(scope="module")
def generator() -> R3Generator:
    torch.manual_seed(0)
    return R3Generator(64, IMAGE, width=32)


@pytest.fixture(scope="module")
def discriminator() -> R3Discriminator:
    torch.manual_seed(0)
    return R3Discriminator(IMAGE, width=32)


def blocks(network: nn.Module) -> list[Block]:
    return [part for part in network.modules() if isinstance(part, Block)]


@pytest.mark.parametrize("size", [8, 28, 48, 256])
def test_all_sizes_are_served(size: int):
    image = Image(1, size, size + (16 if size == 48 else 0))
    drawn = R3Generator(5, image, width=2, condition_size=3)(torch.randn(2, 8))
    assert drawn.shape == (2, *image.shape)
    assert drawn.abs().max() <= 1
    assert R3Discriminator(image, width=2)(drawn).shape == (2,)


def test_a_block_begins_as_the_identity_and_weights_as_fixup_has_them(generator: Any, discriminator: Any):
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(Block(16, 6)(x), x)
    for network in (generator, discriminator):
        assert len(blocks(network)) == 6  # two at each of 16, 8 and 4 pixels
        for block in blocks(network):
            widen, _, mix, _, narrow = block.residual
            for convolution, fan_in in ((widen, widen.in_channels), (mix, 9 * 16)):
                expected = math.sqrt(2 / (1 + 0.2**2)) * 6**-0.25 / math.sqrt(fan_in)
                assert float(convolution.weight.detach().std()) == pytest.approx(expected, rel=0.05)
            assert not narrow.weight.any()
            assert widen.out_channels == 2 * widen.in_channels == 2 * narrow.out_channels
            assert mix.groups == mix.in_channels // 16


def test_the_activation_s_gain_keeps_the_variance():
    torch.manual_seed(0)
    x = GAIN * torch.randn(1, 4, 300, 300)
    activation = BiasedActivation(4)
    assert float(activation(x).detach().square().mean()) == pytest.approx(1.0, rel=0.02)
    with torch.no_grad():
        activation.bias.fill_(-1.0)
    torch.testing.assert_close(activation(x.abs().clamp_max(0.5)), 0.2 * (x.abs().clamp_max(0.5) - 1))


def test_a_fresh_discriminator_is_linear_and_of_unit_gain(discriminator: Any):
    """Nothing but the blocks bends, and they begin as the identity; scores of noise begin about as large as noise."""
    torch.manual_seed(1)
    x, y = torch.randn(2, 64, *IMAGE.shape)
    torch.testing.assert_close(discriminator(2 * x - y), 2 * discriminator(x) - discriminator(y), atol=1e-4, rtol=0)
    assert 0.02 < float(discriminator(x).detach().std()) < 2


def test_nothing_is_normalised_and_every_bias_stands_before_an_activation(generator: Any, discriminator: Any):
    torch.manual_seed(1)
    x, z = torch.randn(4, *IMAGE.shape), torch.randn(4, 64)
    for network, given in ((generator, z), (discriminator, x)):
        biased = {id(p) for part in network.modules() if isinstance(part, BiasedActivation) for p in part.parameters()}
        assert len(biased) == 2 * len(blocks(network))
        assert {id(p) for name, p in network.named_parameters() if "bias" in name} == biased
        assert not [part for part in network.modules() if "Norm" in type(part).__name__]
        torch.testing.assert_close(network(given)[:2], network(given[:2]), atol=1e-5, rtol=1e-5)


def test_bases_are_a_weighed_grid_and_a_depthwise_convolution():
    torch.manual_seed(0)
    start, end, z, x = (
        GenerativeBasis(3, 5, (4, 6)),
        DiscriminativeBasis(5, (4, 6)),
        torch.randn(2, 3),
        torch.randn(2, 5, 4, 6),
    )
    torch.testing.assert_close(start(z), torch.einsum("nd,cd,chw->nchw", z, start.weigh.weight, start.basis))
    torch.testing.assert_close(end(x), F.conv2d(x, end.basis[:, None], groups=5).flatten(1))


def test_resampling_keeps_a_plane_and_its_mean():
    torch.manual_seed(0)
    plain = torch.full((1, 4, 6, 6), 0.3)
    for layer, side in ((Enlarge(4, 4), 12), (Shrink(4, 4), 3)):
        torch.testing.assert_close(layer(plain), torch.full((1, 4, side, side), 0.3))
        assert not list(layer.parameters())  # nothing to mix where the channels stay
    thinned = Shrink(1, 1)(F.pad(torch.ones(1, 1, 1, 1), (3, 4, 3, 4)))
    row = torch.tensor([0, 3, 1, 0]) / 8  # of (1 3 3 1)/8, both ways
    torch.testing.assert_close(thinned[0, 0], row[:, None] * row)


def test_the_recipe_has_them_on_images_unless_told_otherwise():
    recipe, grey = get_recipe("r3gan"), Spec({"image": Image(1, 16, 16), "label": Label(("a", "b"))})
    system = recipe.build(grey, width=8)
    assert isinstance(system.generator, R3Generator)
    assert isinstance(system.discriminator, R3Discriminator)
    assert system.generator.latent_dim == 64
    assert isinstance(recipe.build(grey, generator="dcgan").generator, DCGANGenerator)
    points = recipe.build(Spec({"points": Points(2)}))
    assert isinstance(points.generator, MLPGenerator)
    assert isinstance(points.discriminator, MLPDiscriminator)
    other = get_recipe("gan-r1").build(grey, generator="dcgan", discriminator="r3", width=8)
    assert isinstance(other.discriminator, R3Discriminator)
    told = get_recipe("projection-gan").build(grey, generator="r3", width=8)
    assert told.generator.latent_dim == 64
    assert told.sample(3).shape == (3, 1, 16, 16)


def test_spectral_normalisation_is_refused():
    with pytest.raises(UsageError, match="begin with weights of 0"):
        get_recipe("gan").build(Spec({"image": Image(1, 16, 16)}), generator="r3", spectral_norm=True)


def test_they_learn_digits(tmp_path: Path):
    options: dict[str, Any] = {"data": "digits", "batch_size": 32, "width": 12, "average": 0.95}
    before = scores("r3gan", tmp_path / "before", steps=0, **options)["fid"]
    after = scores("r3gan", tmp_path / "after", steps=120, **options)["fid"]
    assert before > 60
    assert after < 40
