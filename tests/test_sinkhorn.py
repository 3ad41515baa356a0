import pytest
import torch
from torch import nn

from kallima.data.batch import Batch
from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.systems.adversarial.settings import Networks, Play
from kallima.systems.adversarial.sinkhorn import SinkhornGAN, sinkhorn
from kallima.training.trainer import Trainer
from tests.test_contract import Random
from tests.test_ot_gan import Given

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=8, depth=1, latent_dim=2)


def game(fakes, epsilon=1e-3, iterations=100):
    generator = Given(torch.tensor(fakes, dtype=torch.float64))
    options = {"epsilon": epsilon, "iterations": iterations, "weight_clip": 1.0, "play": Play()}
    return SinkhornGAN(SPEC, generator, nn.Flatten(), **options)


def test_the_divergence_of_two_heaps_is_their_squared_distance_and_pulls_the_fakes_across():
    system = game([[1.0, 0.0]] * 4)
    loss = system.generator_loss(Batch({"points": torch.tensor([[1.0, 2.0]] * 4, dtype=torch.float64)}))["divergence"]
    assert loss.item() == pytest.approx(4.0)
    (pull,) = torch.autograd.grad(loss, system.generator.points)
    torch.testing.assert_close(pull, torch.tensor([[0.0, -1.0]] * 4, dtype=torch.float64))  # -2 (y - x) / 4 each


def test_nearby_pairs_are_matched_and_not_the_nearest_alone():
    """Two real points at 0 and 4, both fakes nearer to 4: one of them has to go to 0."""
    system = game([[3.0, 0.0], [5.0, 0.0]])
    loss = system.generator_loss(Batch({"points": torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)}))
    assert loss["divergence"].item() == pytest.approx((9 + 1) / 2, rel=1e-3)
    (pull,) = torch.autograd.grad(loss["divergence"], system.generator.points)
    assert torch.allclose(pull, torch.tensor([[3.0, 0.0], [1.0, 0.0]], dtype=torch.float64), atol=1e-3)


def test_the_gradient_is_that_of_finite_differences_with_much_entropy():
    torch.manual_seed(0)
    fakes, real = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    batch = Batch({"points": real})
    system = game(fakes.tolist(), epsilon=0.5, iterations=500)
    points = system.generator.points
    (gradient,) = torch.autograd.grad(system.generator_loss(batch)["divergence"], points)
    measured = torch.zeros_like(gradient)
    with torch.no_grad():
        for place in torch.cartesian_prod(torch.arange(5), torch.arange(2)).tolist():
            ends = []
            for h in (1e-4, -1e-4):
                points[tuple(place)] += h
                ends.append(system.generator_loss(batch)["divergence"].item())
                points[tuple(place)] -= h
            measured[tuple(place)] = (ends[0] - ends[1]) / 2e-4
    torch.testing.assert_close(gradient, measured, rtol=1e-4, atol=1e-6)


def test_without_a_learned_cost_there_is_one_player():
    (phase,) = sinkhorn(SPEC, networks=SMALL).game()
    assert phase.player.name == "generator"
    with pytest.raises(UsageError, match="--learned-cost"):
        sinkhorn(SPEC, networks=SMALL, play=Play(simultaneous=True))


def test_a_learned_cost_climbs_within_its_bounds():
    torch.manual_seed(0)
    system = sinkhorn(SPEC, learned_cost=True, weight_clip=0.05, networks=SMALL)
    trainer = Trainer(system, {"data": Random(SPEC)}, steps=3)
    assert [phase.name for phase in trainer.phases] == ["critic", "generator"]
    before = system.discriminator[1].weight.clone()
    scalars = trainer.play()
    assert scalars["critic/divergence"].item() <= 0 <= scalars["generator/divergence"].item()
    assert not torch.equal(before, system.discriminator[1].weight)
    assert max(weight.abs().max().item() for weight in system.discriminator.parameters()) == pytest.approx(0.05)
