import copy
import math

import pytest
import torch
from torch import nn

from kallima.optimizers import adam, optimistic_adam, rmsprop, sgd
from kallima.training import checkpoint

FACTORIES = {
    "adam": adam(0.01),
    "optimistic": optimistic_adam(0.01),
    "rmsprop": rmsprop(0.01),
    "sgd": sgd(0.01, momentum=0.9),
}
every = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def play(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def by_hand(gradients, rate, beta1, beta2, epsilon=1e-8):
    """Algorithm 1 on one number, from 0, with the gradients given."""
    theta = mean = square = last = 0.0
    path = []
    for t, gradient in enumerate(gradients, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        direction = mean / (1 - beta1**t) / (math.sqrt(square / (1 - beta2**t)) + epsilon)
        theta += -2 * rate * direction + rate * last
        last = direction
        path.append(theta)
    return path


def test_optimistic_adam_is_algorithm_1():
    gradients = [0.5, -2.0, 3.0, 0.0, 1.0]
    first, second = (nn.Parameter(torch.zeros(2, 2, dtype=torch.float64)) for _ in range(2))
    optimizer = optimistic_adam(0.1, betas=(0.5, 0.9))([first, second])
    for gradient, expected in zip(gradients, by_hand(gradients, 0.1, 0.5, 0.9), strict=True):
        first.grad, second.grad = torch.full_like(first, gradient), torch.full_like(first, -gradient)
        optimizer.step()
        assert torch.allclose(first, torch.full_like(first, expected), atol=1e-12)
        assert torch.allclose(second, -first, atol=1e-12)


def test_where_the_direction_stays_it_is_adam():
    # with d the same in every step, −2η d + η d is −η d: one step further than Adam, from the first, and no more
    plain, optimistic = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    players = [(plain, adam(0.1)([plain])), (optimistic, optimistic_adam(0.1)([optimistic]))]
    for _ in range(20):
        for parameter, optimizer in players:
            parameter.grad = torch.full_like(parameter, 3.0)
            optimizer.step()
    assert optimistic.item() - plain.item() == pytest.approx(-0.1)


def test_a_parameter_without_a_gradient_stays_and_counts_no_step():
    moving, resting = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))
    optimizer = optimistic_adam(0.1)([moving, resting])
    for step in range(4):
        moving.grad = torch.ones(2)
        resting.grad = torch.ones(2) if step == 3 else None
        optimizer.step()
    assert [float(optimizer.state[p]["step"]) for p in (moving, resting)] == [4, 1]
    assert torch.allclose(resting, torch.full((2,), 1 - 2 * 0.1))  # its first step


def bilinear(make, steps=1000):
    """min over x, max over y of x y, both players moving at once from (1, 1); return the distance from (0, 0)."""
    x, y = (nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    players = [make([x]), make([y])]
    for _ in range(steps):
        x.grad, y.grad = y.detach().clone(), -x.detach().clone()
        for player in players:
            player.step()
    return math.hypot(x.item(), y.item())


def test_optimism_finds_the_equilibrium_that_plain_steps_spiral_away_from():
    start = math.sqrt(2)
    rate, steps = 0.05, 1000
    grown = bilinear(sgd(rate), steps)
    assert grown == pytest.approx(start * (1 + rate**2) ** (steps / 2))  # simultaneous descent, exactly
    assert bilinear(adam(0.05, betas=(0.0, 0.999))) > start
    assert bilinear(optimistic_adam(0.05, betas=(0.0, 0.999))) < 0.01 * start


@every
@pytest.mark.parametrize("fused", [False, True])
def test_every_factory_takes_the_engines_options_and_descends(factory, fused):
    model = network()
    optimizer = factory(model.parameters(), fused=fused)
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(99))
    loss = model(x).square().mean().item()
    play(model, optimizer, 40)
    assert model(x).square().mean().item() < 0.7 * loss
    assert [group["lr"] for group in optimizer.param_groups] == [0.01]  # what schedules move


@every
def test_a_checkpoint_on_disk_resumes_bit_for_bit(factory, tmp_path):
    straight = network()
    play(straight, factory(straight.parameters(), fused=False), 8)

    first = network()
    optimizer = factory(first.parameters(), fused=False)
    play(first, optimizer, 5)
    state = {"weights": first.state_dict(), "averages": {}, "optimizers": {"one": optimizer.state_dict()["state"]}}
    place = checkpoint.save(tmp_path, {**state, "step": 5, "positions": {}, "scalers": {}}, {"identity": {}})

    second = network(seed=1)
    resumed = factory(second.parameters(), fused=False)
    loaded = checkpoint.load(place)[0]
    second.load_state_dict(loaded["weights"])
    resumed.load_state_dict({**resumed.state_dict(), "state": loaded["optimizers"]["one"]})
    play(second, resumed, 3, start=5)
    assert torch.equal(weights(straight), weights(second))


def test_all_of_optimistic_adams_state_is_tensors():
    model = network()
    optimizer = optimistic_adam(0.01)(model.parameters())
    play(model, optimizer, 2)
    assert all(isinstance(v, torch.Tensor) for entries in optimizer.state.values() for v in entries.values())
    assert copy.deepcopy(optimizer).state_dict()["state"].keys() == optimizer.state_dict()["state"].keys()


def test_a_closure_is_computed_anew():
    parameter = nn.Parameter(torch.ones(1))
    optimizer = optimistic_adam(0.1)([parameter])

    def closure():
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert parameter.item() < 1.0
