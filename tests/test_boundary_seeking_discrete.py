import itertools

import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.systems.adversarial.boundary_seeking_discrete import (
    DiscreteBoundarySeekingGAN,
    boundary_seeking_discrete,
)
from kallima.systems.adversarial.settings import Networks, Play

THREE_BITS = Spec({"image": Image(1, 1, 3)})
STATES = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)))  # (8, 3)


class Linear(nn.Module):
    """Logits of three pixels, linear in the latent; or the same for all latents, with weights of 0."""

    latent_dim = 2

    def __init__(self, scale):
        super().__init__()
        self.weight, self.bias = nn.Parameter(scale * torch.randn(2, 3)), nn.Parameter(torch.randn(3))

    def forward(self, latent):
        return (latent @ self.weight + self.bias).view(-1, 1, 1, 3)


class Table(nn.Module):
    """A score of its own for each of the eight images."""

    def __init__(self):
        super().__init__()
        self.scores, self.seen = 1.5 * torch.randn(8), []

    def forward(self, images):
        self.seen.append(images)
        bits = (images.reshape(-1, 3) > 0).to(torch.int64)
        return self.scores[bits @ torch.tensor([4, 2, 1])]


def enumerated_gradient(system, latents):
    """That of the paper's loss with all images of each latent instead of a sample of them."""
    logits = system.generator(latents).view(-1, 1, 3)
    log_g = -nn.functional.softplus(-STATES * logits).sum(2)  # (N, 8)
    tilted = (log_g.detach() + system.discriminator.scores).softmax(1)  # g w / ∑ g w
    loss = -(tilted * log_g).sum(1).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(system.generator.parameters()))])


@pytest.mark.parametrize("count", [1, 3])
def test_the_policy_gradient_is_that_of_all_images(count):
    torch.manual_seed(0)
    system = DiscreteBoundarySeekingGAN(THREE_BITS, Linear(1.0), Table(), samples=100_000, play=Play())
    latents = torch.randn(count, 2)
    system.forge = lambda number: system.generator(latents)
    terms, notes = system.generator_loss(Batch({"image": torch.zeros(count, 1, 1, 3)}))
    estimate = torch.cat(
        [g.flatten() for g in torch.autograd.grad(terms["adversarial"], list(system.generator.parameters()))]
    )
    truth = enumerated_gradient(system, latents)
    assert torch.cosine_similarity(estimate, truth, dim=0).item() > 0.99
    assert (estimate.norm() / truth.norm()).item() == pytest.approx(1, abs=0.05)
    assert 1 < notes["effective"].item() < 100_000
    system.discriminator.scores = -system.discriminator.scores
    against = enumerated_gradient(system, latents)
    assert torch.cosine_similarity(estimate, against, dim=0).item() < 0.9  # the bar tells discriminators apart


def test_the_gradient_vanishes_where_the_discriminator_cannot_tell():
    torch.manual_seed(0)
    system = DiscreteBoundarySeekingGAN(THREE_BITS, Linear(0.0), Table(), samples=100_000, play=Play())
    system.discriminator.scores = torch.full((8,), 0.7)
    terms, notes = system.generator_loss(Batch({"image": torch.zeros(1, 1, 1, 3)}))
    (gradient,) = torch.autograd.grad(terms["adversarial"], [system.generator.bias])
    assert gradient.abs().max().item() < 0.01
    assert notes["effective"].item() == pytest.approx(100_000, rel=1e-3)


def test_the_discriminator_sees_binary_images_of_both_kinds():
    torch.manual_seed(0)
    system = DiscreteBoundarySeekingGAN(THREE_BITS, Linear(1.0), Table(), samples=4, play=Play())
    batch = Batch({"image": torch.tensor([[0.3, -0.2, 0.0], [1.0, -1.0, 0.01]]).view(2, 1, 1, 3)})
    system.discriminator_loss(batch)
    real, fake = system.discriminator.seen
    assert torch.equal(real.view(2, 3), torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, 1.0]]))
    assert fake.shape == (2, 1, 1, 3)
    assert torch.equal(fake.abs(), torch.ones_like(fake))


@pytest.mark.parametrize("body", ["mlp", "dcgan", "resnet"])
def test_generators_give_logits_and_samples_are_binary(body):
    torch.manual_seed(0)
    networks = Networks(generator=body, width=8, depth=1, latent_dim=4)
    system = boundary_seeking_discrete(Spec({"image": Image(1, 16, 16)}), networks=networks)
    assert not any(isinstance(part, nn.Tanh) for part in system.generator.modules())
    images = system.sample(6, rng=torch.Generator().manual_seed(0))
    assert torch.equal(images.abs(), torch.ones(6, 1, 16, 16))


def test_samples_follow_the_chances_of_their_pixels():
    torch.manual_seed(0)
    system = DiscreteBoundarySeekingGAN(THREE_BITS, Linear(0.0), Table(), samples=2, play=Play())
    share = (system.sample(20_000, rng=torch.Generator().manual_seed(0)) > 0).float().mean((0, 1, 2))
    torch.testing.assert_close(share, torch.sigmoid(system.generator.bias.detach()), atol=0.015, rtol=0)


def test_one_sample_has_nothing_to_be_weighed_against():
    with pytest.raises(UsageError, match="--samples"):
        boundary_seeking_discrete(Spec({"image": Image(1, 8, 8)}), samples=1)
