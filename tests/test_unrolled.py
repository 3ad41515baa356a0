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
PLAY = Play(learning_rate=1e-3, discriminator_learning_rate=1e-3)


def build(steps, rate=0.01, **options):
    torch.manual_seed(0)
    system = unrolled(SPEC, unrolled_steps=steps, inner_rate=rate, networks=SMALL, **options)
    return in_float64(system)


def trained(steps, rate=0.01, play=PLAY, turns=4):
    """A system after some steps of the game, so that its moments are of several gradients, and its trainer."""
    system = build(steps, rate, play=play)
    trainer = Trainer(system, {"data": Doubles(SPEC, 8)}, steps=turns)
    for _ in range(turns):
        trainer.play()
    return system, trainer


def in_float64(system):
    """Make everything of the system float64, its latents too."""
    system.double().forge = lambda count, *_: system.generator(torch.randn(count, 3, dtype=torch.float64))
    return system


def batch():
    return Batch({"points": torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))})


def value_by_hand(system, optimizer, latent, real, steps, rate):
    """f_K by the plainest means: a copy of the discriminator and of its optimiser, Adam, takes K steps."""
    discriminator = copy.deepcopy(system.discriminator).requires_grad_(True)
    ahead = torch.optim.AdamW(discriminator.parameters())
    ahead.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in ahead.param_groups:
        group["lr"] = rate

    def value():
        fake = system.generator(latent).detach()
        return -F.softplus(-discriminator(real)).mean() - F.softplus(discriminator(fake)).mean()

    for _ in range(steps):
        ahead.zero_grad()
        (-value()).backward()
        ahead.step()
    return value().item()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_the_generators_gradient_is_that_of_finite_differences_through_the_discriminators_own_steps(steps):
    rate = 0.01
    system, trainer = trained(steps, rate)
    optimizer, real = trainer.optimizers["discriminator"], batch()
    system.discriminator.requires_grad_(False)
    system.generator.requires_grad_(True)
    latent = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    system.forge = lambda count: system.generator(latent)

    def by_hand():
        return value_by_hand(system, optimizer, latent, real["points"], steps, rate)

    loss = system.generator_loss(real)["adversarial"]
    assert loss.item() == pytest.approx(by_hand(), abs=1e-12)
    weights = list(system.generator.parameters())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
    measured, h = [], 1e-6
    for weight in weights:
        flat = weight.data.view(-1)
        for i in range(len(flat)):
            before = flat[i].item()
            ends = []
            for moved in (before + h, before - h):
                flat[i] = moved
                ends.append(by_hand())
            flat[i] = before
            measured.append((ends[0] - ends[1]) / (2 * h))
    measured = torch.tensor(measured, dtype=torch.float64)
    assert ((gradient - measured).norm() / measured.norm()).item() < 1e-3
    system.unrolled_steps = 0
    plain = torch.autograd.grad(system.generator_loss(real)["adversarial"], weights)
    straight = torch.cat([g.flatten() for g in plain])
    assert ((straight - measured).norm() / measured.norm()).item() > 1e-2  # the bar is not met without looking ahead


def test_the_inner_steps_begin_with_the_moments_of_the_discriminators_optimiser():
    system, trainer = trained(2, play=Play(learning_rate=1e-3, discriminator_steps=3, clip=0.1, beta1=0.7))
    states = trainer.optimizers["discriminator"].state.values()
    for name, own in {"exp_avg": system.moments.mean, "exp_avg_sq": system.moments.square}.items():
        torch.testing.assert_close(own, torch.cat([state[name].flatten() for state in states]), rtol=1e-12, atol=0)
    assert system.moments.count.item() == 12


def test_units_that_never_had_a_gradient_do_not_spoil_the_generators():
    system = build(3)
    with torch.no_grad():
        first = next(module for module in system.discriminator.modules() if isinstance(module, torch.nn.Linear))
        first.bias[:2] = -100.0  # two dead units
    system.generator_loss(batch())["adversarial"].backward()
    assert all(weight.grad.isfinite().all() for weight in system.generator.parameters())


def test_the_inner_rate_is_the_discriminators_own_where_none_is_given():
    assert unrolled(SPEC, networks=SMALL).inner_rate == 1e-4
    assert unrolled(SPEC, networks=SMALL, play=Play(learning_rate=0.02)).inner_rate == 0.02
    assert unrolled(SPEC, networks=SMALL, inner_rate=0.5).inner_rate == 0.5


def test_without_inner_steps_it_is_the_minimax_game():
    play = Play(optimizer="sgd", learning_rate=0.1)
    torch.manual_seed(0)
    plain = in_float64(gan_minimax(SPEC, networks=SMALL, play=play))
    ours = build(0, play=play)
    ours.generator.load_state_dict(plain.generator.state_dict())
    ours.discriminator.load_state_dict(plain.discriminator.state_dict())
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
        system = build(steps, rate=0.01)
        torch.manual_seed(3)
        values.append(system.generator_loss(real)["adversarial"].item())
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.05


def test_batch_statistics_and_idle_steps_are_refused():
    with pytest.raises(UsageError, match="--discriminator-norm none"):
        unrolled(Spec({"image": Image(1, 16, 16)}), networks=Networks(width=4, discriminator_norm="batch"))
    with pytest.raises(UsageError, match="--unrolled-steps"):
        build(-1)
    with pytest.raises(UsageError, match="--inner-rate"):
        build(1, rate=0.0)
