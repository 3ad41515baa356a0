import pytest
import torch

from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.networks.autoencoder import ConvolutionalAutoencoder, MLPAutoencoder
from kallima.systems.adversarial.autoencoding import autoencoding_pair
from kallima.systems.adversarial.settings import Networks


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (4, 32, 48)])
def test_images_go_through_codes_and_come_back_in_range(shape):
    torch.manual_seed(0)
    images = torch.rand(3, *shape) * 2 - 1
    for network in (ConvolutionalAutoencoder(Image(*shape), 5, width=4), MLPAutoencoder(shape, 5, width=8, depth=2)):
        assert network.encoder(images).shape == (3, 5)
        rebuilt = network(images)
        assert rebuilt.shape == images.shape
        assert rebuilt.abs().max() <= 1
        assert torch.allclose(rebuilt, network.decoder(network.encoder(images)))


def test_each_example_is_rebuilt_alone():
    torch.manual_seed(0)
    network = ConvolutionalAutoencoder(Image(1, 16, 16), 5, width=4)
    images = torch.randn(4, 1, 16, 16)
    assert torch.allclose(network(images)[2:3], network(images[2:3]), atol=1e-6)


def test_an_untrained_convolutional_one_keeps_the_variance_up():
    """Without batch normalisation the signal must neither die nor explode on its way down and up."""
    torch.manual_seed(0)
    network = ConvolutionalAutoencoder(Image(3, 64, 64), 64, width=16)
    images = torch.randn(8, 3, 64, 64)
    assert 0.1 < network.encoder(images).std().item() < 10
    assert 0.02 < network(images).std().item() < 0.99


def test_a_body_without_a_way_back_is_refused():
    spec = Spec({"image": Image(1, 16, 16)})
    for body in ("plain", "resnet"):
        with pytest.raises(UsageError, match="--discriminator mlp or dcgan"):
            autoencoding_pair(spec, Networks(discriminator=body), 4)


def test_the_body_follows_the_generator_unless_it_is_named():
    spec = Spec({"image": Image(1, 16, 16)})
    small = {"width": 4, "depth": 1, "latent_dim": 3}
    kinds = {
        Networks(generator="mlp", **small): MLPAutoencoder,
        Networks(generator="resnet", **small): ConvolutionalAutoencoder,
        Networks(generator="dcgan", discriminator="mlp", **small): MLPAutoencoder,
    }
    for networks, kind in kinds.items():
        assert type(autoencoding_pair(spec, networks, 4)[1]) is kind
    assert type(autoencoding_pair(Spec({"points": Points(2)}), Networks(**small), 4)[1]) is MLPAutoencoder
