"""BiGAN and ALI: who is asked to take which pair for what, what the game comes to, and that its encoder inverts."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.layers.spectral import spectrally_normalised
from kallima.networks.discriminator import Discriminator
from kallima.networks.encoder import GaussianEncoder, PointEncoder
from kallima.networks.joint import JointDiscriminator
from kallima.objectives.joint import joint_discriminator, joint_inference
from kallima.recipe import get_recipe
from kallima.systems.adversarial.bigan import BiGAN
from kallima.systems.adversarial.settings import Play
from kallima.training.trainer import Trainer

IMAGES = Spec({"image": Image(1, 8, 8)})
SMALL: dict[str, Any] = {"width": 8, "latent_dim": 4}


def test_the_discriminator_is_asked_for_1_on_encoded_pairs_and_for_0_on_generated_ones():
    encoded, generated = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    terms = joint_discriminator(encoded, generated)
    torch.testing.assert_close(terms["encoded"], -encoded.sigmoid().log().mean())
    torch.testing.assert_close(terms["generated"], -(1 - generated.sigmoid()).log().mean())


def test_encoder_and_generator_swap_both_labels():
    encoded, generated = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    terms = joint_inference(encoded, generated)
    torch.testing.assert_close(terms["encoded"], -(1 - encoded.sigmoid()).log().mean())
    torch.testing.assert_close(terms["generated"], -generated.sigmoid().log().mean())
    # neither side starves where the discriminator is sure of itself, as the saturating loss would
    sure = torch.tensor([20.0]).requires_grad_()
    gradient = torch.autograd.grad(sum(joint_inference(sure, -sure).values()), sure)[0]
    assert gradient.item() == pytest.approx(2.0, abs=1e-6)


class Watched(nn.Module):
    """A joint discriminator that keeps the pairs it is shown, and scores them 0."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, example: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        self.seen.append((example, code))
        return 0 * code.sum(1)


@pytest.mark.parametrize("loss", ["discriminator_loss", "generator_loss"])
def test_pairs_are_an_example_with_its_code_and_a_latent_with_its_fake(loss: str):
    torch.manual_seed(0)
    system: Any = get_recipe("bigan").build(IMAGES, **SMALL, generator="mlp")
    system.discriminator = Watched()
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    terms = getattr(system, loss)(Batch({"image": images}))
    (real, code), (fake, latent) = system.discriminator.seen
    assert torch.equal(real, images)
    torch.testing.assert_close(code, system.encoder(images))
    torch.testing.assert_close(fake, system.generator(latent))
    assert sum(terms.values()).item() == pytest.approx(2 * math.log(2))  # where it cannot tell
    assert code.requires_grad == fake.requires_grad == (loss == "generator_loss")
    assert not latent.requires_grad


def linear_game(dimensions: int, **play: Any) -> tuple[BiGAN, torch.Tensor]:
    """Return a game with a linear generator and a linear encoder, and A, where the data is x = A z, z ~ N(0, I)."""
    torch.manual_seed(0)
    factor = torch.tensor([[1.2, 0.4], [-0.3, 0.8]])[:dimensions, :dimensions]
    generator, encoder = (nn.Linear(dimensions, dimensions, bias=False) for _ in range(2))
    generator.latent_dim = dimensions
    layers = nn.Sequential(nn.Linear(dimensions, 32), nn.LeakyReLU(0.2))
    joint = spectrally_normalised(JointDiscriminator(Discriminator(layers, nn.Linear(32, 1)), dimensions, units=32))
    spec = Spec({"points": Points(dimensions)})
    return BiGAN(spec, generator, PointEncoder(encoder), joint, play=Play(**play)), factor


def test_an_encoder_that_inverts_the_generator_leaves_nothing_to_tell():
    """At G = A and E = A⁻¹ both kinds of pairs have one distribution: no discriminator falls below log 4."""
    game, factor = linear_game(2)
    with torch.no_grad():
        game.generator.weight.copy_(factor)  # type: ignore[operator, union-attr]
        game.encoder.body.weight.copy_(torch.linalg.inv(factor))  # type: ignore[operator, union-attr]
    batch = Batch({"points": torch.randn(20_000, 2) @ factor.T})
    scores = game.scores(*game.pairs(batch))
    assert abs(scores[0].mean() - scores[1].mean()) < 0.02 * scores[0].std() + 1e-3
    for scale in (0.0, 1.0, 5.0):
        loss = sum(joint_discriminator(*(scale * score for score in scores)).values())
        assert loss.item() >= math.log(4) - 0.02
    torch.testing.assert_close(game.reconstruct(batch["points"]), batch["points"], atol=1e-4, rtol=1e-4)


def test_scores_are_multiplied_by_the_sharpness():
    spec, scores = Spec({"image": Image(1, 8, 8)}), []
    images, codes = torch.rand(9, 1, 8, 8) * 2 - 1, torch.randn(9, 4)
    for sharpness in (1.0, 64.0):
        torch.manual_seed(0)
        system = get_recipe("bigan").build(spec, width=8, latent_dim=4, sharpness=sharpness)
        scores.append(system.discriminator.eval()(images, codes))
    torch.testing.assert_close(scores[1], 64 * scores[0])
    assert scores[0].std() > 0
    with pytest.raises(UsageError, match="--sharpness must be above 0, not 0"):
        get_recipe("bigan").build(spec, sharpness=0.0)


def test_the_game_alone_teaches_the_encoder_to_invert():
    """Nothing is rebuilt in training, yet E(G(z)) comes to z and G(z) to the data's covariance."""
    steps = 400
    game, factor = linear_game(2, learning_rate=5e-3, average=0.98)

    class Data:
        position = 0

        def next(self) -> Batch:
            self.position += 1
            rng = torch.Generator().manual_seed(self.position)
            return Batch({"points": torch.randn(128, 2, generator=rng) @ factor.T})

        def seek(self, position: int) -> None:
            self.position = position

    def errors(system: Any) -> tuple[float, float]:
        both = system.encoder.body.weight @ system.generator.weight  # E(G(z)) = both z
        covariance = system.generator.weight @ system.generator.weight.T
        cycle = (both - torch.eye(2)).norm() / math.sqrt(2)
        return cycle.item(), ((covariance - factor @ factor.T).norm() / (factor @ factor.T).norm()).item()

    before = errors(game)
    trainer = Trainer(game, {"data": Data()}, steps=steps)  # type: ignore[dict-item]
    for _ in range(steps):
        trainer.play()
    after = errors(trainer.average.system)
    assert min(before) > 0.6
    assert max(after) < 0.25


def test_ali_draws_its_codes_and_describes_by_their_means():
    torch.manual_seed(0)
    system: Any = get_recipe("ali").build(IMAGES, **SMALL, generator="mlp")
    images = torch.rand(3, 1, 8, 8) * 2 - 1
    assert isinstance(system.encoder, GaussianEncoder)
    assert torch.equal(system.encode(images), system.encode(images))
    with torch.no_grad():
        nn.init.zeros_(system.encoder.body[-1].weight)
        system.encoder.body[-1].bias.copy_(
            torch.tensor([1.0, -2.0, 0.0, 3.0, *[math.log(s**2) for s in (0.1, 1, 2, 3)]])
        )
        draws = system.encoder.draw(images.repeat(5_000, 1, 1, 1))
    torch.testing.assert_close(draws.mean(0), torch.tensor([1.0, -2.0, 0.0, 3.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(draws.std(0), torch.tensor([0.1, 1.0, 2.0, 3.0]), atol=0, rtol=0.05)
    torch.testing.assert_close(system.encode(images)[0], torch.tensor([1.0, -2.0, 0.0, 3.0]))


@pytest.mark.parametrize("name", ["bigan", "ali", "vae-gan", "alpha-gan"])
def test_codes_are_latents_and_rebuilding_is_decoding_them(name: str):
    torch.manual_seed(0)
    spec = Spec({"image": Image(1, 16, 16)})  # large enough for batch normalisation in the encoder
    system: Any = get_recipe(name).build(spec, **SMALL).train()
    images = torch.rand(3, 1, 16, 16) * 2 - 1
    codes = system.encode(images)
    assert codes.shape == system.latents(3).shape == (3, 4)
    assert torch.equal(system.reconstruct(images), system.decode(codes))
    torch.testing.assert_close(system.encode(images[:1]), codes[:1])  # alone as in company: statistics rest
    assert all(module.training for module in system.modules())
    assert not codes.requires_grad


@pytest.mark.parametrize("body", ["mlp", "dcgan", "plain"])
def test_every_weight_of_the_discriminator_is_spectrally_normalised(body: str):
    system: Any = get_recipe("bigan").build(
        IMAGES, **SMALL, generator="dcgan", discriminator=body, discriminator_norm="none"
    )
    layers = [m for m in system.discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(layers) >= 5
    assert all(hasattr(layer, "parametrizations") for layer in layers)
