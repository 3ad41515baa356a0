import copy

import pytest
import torch
import torch.nn.functional as F

from kallima.data.batch import Batch
from kallima.data.spec import Image, Points, Spec
from kallima.errors import UsageError
from kallima.systems.adversarial.gan import gan_minimax
from kallima.systems.adversarial.settings import Networks, Play
from kallima.systems.adversarial.unrolled import unrolled
from kallima.training.trainer import Trainer
from tests.test_contract import Random

SPEC = Spec({"points": Points(2)})
SMALL = Networks(width=6, depth=2, latent_dim=3)


def build(steps, rate=0.3, **options):
    torch.manual_seed(0)
    system = unrolled(SPEC, unrolled_steps=steps, inner_rate=rate, networks=SMALL, **options)
    return in_float64(system)


def in_float64(system):
    """Make everything of the system float64, its latents too."""
    system.double().forge = lambda count: system.generator(torch.randn(count, 3, dtype=torch.float64))
    return system


def batch():
    return Batch({"points": torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))})


def value_by_hand(system, latent, real, steps, rate):
    """f_K computed with the plainest means: a copy of the discriminator that takes K steps of gradient ascent."""
    discriminator = copy.deepcopy(system.discriminator).requires_grad_(True)

    def value():
        fake = system.generator(latent).detach()
        return -F.softplus(-discriminator(real)).mean() - F.softplus(discriminator(fake)).mean()

    for _ in range(steps):
        gradients = torch.autograd.grad(value(), list(discriminator.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(discriminator.parameters(), gradients, strict=True):
                weight += rate * gradient
    return value().item()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_the_generators_gradient_is_that_of_finite_differences_through_the_inner_steps(steps):
    system, real, rate = build(steps), batch(), 0.3
    system.discriminator.requires_grad_(False)
    latent = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    system.forge = lambda count: system.generator(latent)
    loss = system.generator_loss(real)["adversarial"]
    assert loss.item() == pytest.approx(value_by_hand(system, latent, real["points"], steps, rate), abs=1e-12)
    weights = list(system.generator.parameters())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
    measured, h = [], 1e-5
    for weight in weights:
        flat = weight.data.view(-1)
        for i in range(len(flat)):
            before = flat[i].item()
            ends = []
            for moved in (before + h, before - h):
                flat[i] = moved
                ends.append(value_by_hand(system, latent, real["points"], steps, rate))
            flat[i] = before
            measured.append((ends[0] - ends[1]) / (2 * h))
    measured = torch.tensor(measured, dtype=torch.float64)
    assert ((gradient - measured).norm() / measured.norm()).item() < 1e-3
    system.unrolled_steps = 0
    plain = torch.autograd.grad(system.generator_loss(real)["adversarial"], weights)
    straight = torch.cat([g.flatten() for g in plain])
    assert ((straight - measured).norm() / measured.norm()).item() > 1e-2  # the bar is not met without looking ahead


def test_without_inner_steps_it_is_the_minimax_game():
    play = Play(optimizer="sgd", learning_rate=0.1)
    torch.manual_seed(0)
    plain = in_float64(gan_minimax(SPEC, networks=SMALL, play=play))
    ours = build(0, play=play)
    ours.load_state_dict(plain.state_dict())
    start = [weight.clone() for weight in ours.parameters()]
    for system in (plain, ours):
        trainer = Trainer(system, {"data": Doubles(SPEC, 8)}, steps=5)
        for _ in range(5):
            trainer.play()
    for one, other, before in zip(plain.parameters(), ours.parameters(), start, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        assert not torch.equal(one, before)


class Doubles(Random):
    """Random batches of float64."""

    def next(self):
        return Batch({name: value.double() for name, value in super().next().fields.items()})


def test_the_discriminator_is_as_it_was_after_the_generators_turn():
    system = build(4)
    before = copy.deepcopy(system.discriminator.state_dict())
    system.discriminator.requires_grad_(False)
    system.generator_loss(batch())["adversarial"].backward()
    assert all(torch.equal(value, before[name]) for name, value in system.discriminator.state_dict().items())
    assert all(weight.grad is None for weight in system.discriminator.parameters())


def test_looking_further_ahead_the_discriminator_does_better():
    real = batch()
    values = []
    for steps in (0, 1, 5, 20):
        system = build(steps, rate=0.1)
        torch.manual_seed(3)
        values.append(system.generator_loss(real)["adversarial"].item())
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.05


def test_batch_statistics_are_refused():
    with pytest.raises(UsageError, match="--discriminator-norm none"):
        unrolled(Spec({"image": Image(1, 16, 16)}), networks=Networks(width=4, discriminator_norm="batch"))
    with pytest.raises(UsageError, match="--unrolled-steps"):
        build(-1)
