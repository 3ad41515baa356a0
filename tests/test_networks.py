import pytest
import torch

from kallima.data.spec import Image
from kallima.errors import DataError
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.layers.pyramid import pyramid
from kallima.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.networks.resnet import DiscriminatorBlock, GeneratorBlock, ResNetDiscriminator, ResNetGenerator
from kallima.networks.spectral import SpectralDiscriminator

SIZES = [8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256]
PAIRS = {
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
    "resnet": (ResNetGenerator, ResNetDiscriminator),
    "sngan": (ResNetGenerator, SpectralDiscriminator),
}


def test_every_size_from_8_to_256_is_served_or_refused_with_the_nearest():
    for size in range(1, 300):
        if size in SIZES:
            plan = pyramid(size, size)
            assert 4 <= plan.grid[0] <= 7
            assert plan.grid[0] << plan.levels == size
        else:
            with pytest.raises(DataError) as refusal:
                pyramid(size, size)
            nearest = min(abs(size - served) for served in SIZES)
            proposed = int(str(refusal.value).rsplit("--size ", 1)[1])
            assert proposed in SIZES
            assert abs(proposed - size) == nearest


def test_oblong_images_are_halved_alike():
    plan = pyramid(32, 48)
    assert (plan.levels, plan.grid) == (3, (4, 6))
    assert pyramid(128, 64).grid == (8, 4)
    with pytest.raises(DataError, match="use 32x48"):
        pyramid(32, 50)


def test_channels_double_up_to_their_bound():
    assert pyramid(256, 256).channels(16, 8) == [16, 32, 64, 128, 128, 128]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("size", SIZES)
def test_convolutional_pairs_at_every_size(pair, size):
    generator, discriminator = PAIRS[pair]
    colours = {28: 1, 64: 4}.get(size, 3)
    image = Image(colours, size, size)
    torch.manual_seed(0)
    latent = torch.randn(2, 5)
    with torch.no_grad():
        fake = generator(5, image, width=2)(latent)
        assert fake.shape == (2, colours, size, size)
        assert fake.abs().max() <= 1
        assert fake[0].ne(fake[1]).any()
        assert discriminator(image, width=2)(fake).shape == (2,)


@pytest.mark.parametrize("pair", PAIRS)
def test_convolutional_pairs_take_oblong_images(pair):
    generator, discriminator = PAIRS[pair]
    image = Image(3, 16, 24)
    fake = generator(5, image, width=2)(torch.randn(2, 5))
    assert fake.shape == (2, 3, 16, 24)
    assert discriminator(image, width=2)(fake).shape == (2,)


def test_images_of_differing_sizes_are_refused():
    with pytest.raises(DataError, match="--size"):
        DCGANGenerator(5, Image(3, None, None))


def test_dense_pairs():
    points = MLPGenerator(5, (2,), width=8, depth=2)
    images = MLPGenerator(5, (3, 4, 6), width=8, depth=0)
    with torch.no_grad():
        latent = 100 * torch.randn(7, 5)
        assert points(latent).shape == (7, 2)
        assert points(latent).abs().max() > 1  # points are not squashed
        assert images(latent).shape == (7, 3, 4, 6)
        assert images(latent).abs().max() <= 1
        assert MLPDiscriminator((3, 4, 6), width=8, depth=2)(images(latent)).shape == (7,)


def test_dcgan_follows_the_paper():
    image = Image(3, 64, 64)
    torch.manual_seed(0)
    generator, discriminator = DCGANGenerator(100, image, width=64), DCGANDiscriminator(image, width=64)
    widths = [layer.in_channels for layer in generator.grow if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert widths == [512, 256, 128, 64]
    norms = [
        sum(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules()) for net in (generator, discriminator)
    ]
    assert norms == [4, 3]  # all but the generator's output and the discriminator's input
    for name, weight in [*generator.state_dict().items(), *discriminator.state_dict().items()]:
        if weight.dim() > 1 and weight.numel() > 10_000:
            assert float(weight.std()) == pytest.approx(0.02, rel=0.05), name
            assert abs(float(weight.mean())) < 1e-3, name


def test_spectral_norm_finds_the_largest_singular_value_and_holds_it_at_evaluation():
    torch.manual_seed(0)
    block = DiscriminatorBlock(6, 12, shrink=True)
    image = torch.randn(1, 6, 8, 8)
    convolutions = [part for part in block.modules() if isinstance(part, torch.nn.Conv2d)]
    with torch.no_grad():
        for convolution in convolutions:
            convolution.parametrizations.weight.original.normal_()  # far from where the power iteration started
        for _ in range(50):
            block(image)
        for convolution in convolutions:
            original = convolution.parametrizations.weight.original
            sigma = torch.linalg.matrix_norm(original.flatten(1), 2)
            estimate = (original / convolution.weight).flatten()[0]
            assert float(estimate / sigma) == pytest.approx(1, abs=0.01)
        block.eval()
        before = {name: value.clone() for name, value in block.state_dict().items()}
        assert torch.equal(block(image), block(image))
        assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    assert len(convolutions) == 3


@pytest.mark.parametrize("network", [ResNetDiscriminator, SpectralDiscriminator])
def test_every_weight_of_a_spectral_discriminator_is_normalised(network):
    torch.manual_seed(0)
    discriminator = network(Image(3, 32, 32), width=4)
    layers = [part for part in discriminator.modules() if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))]
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.1)


def test_shortcuts_on_the_small_side_give_the_same_values():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    grow = GeneratorBlock(3, 5).shortcut  # convolution, upsampling
    shrink = DiscriminatorBlock(3, 5, shrink=True).shortcut.eval()  # pooling, convolution
    assert torch.allclose(grow(x), grow[0](grow[1](x)), atol=1e-6)
    assert torch.allclose(shrink(x), shrink[0](shrink[1](x)), atol=1e-6)


def test_the_prior_draws_the_same_latents_from_the_same_generator():
    prior, cpu = NormalPrior(3), torch.device("cpu")
    first, again = (prior.draw(4, cpu, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    many = prior.draw(20_000, cpu, torch.Generator().manual_seed(2))
    assert many.mean(0).abs().max() < 0.03
    assert (torch.cov(many.T) - torch.eye(3)).abs().max() < 0.05


def fail_while_evaluating(network):
    with evaluating(network):
        assert not any(part.training for part in network.modules())
        raise ZeroDivisionError


def test_evaluating_restores_each_mode_even_after_an_error():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout()).train()
    network[1].eval()
    with pytest.raises(ZeroDivisionError):
        fail_while_evaluating(network)
    assert [part.training for part in network.modules()] == [True, True, False]
