import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from kallima.objectives.penalties import (
    dragan_penalty,
    gradient_norms,
    interpolated_gradient_penalty,
    interpolates,
    perturbed,
    zero_centred_penalty,
)

WEIGHT = torch.tensor([3.0, -4.0])  # its norm is 5


def linear(x):
    return x.flatten(1) @ WEIGHT.to(x.dtype)


def flatter(x):
    return linear(x) / 10


def quadratic(x):
    return 1.5 * x.flatten(1).square().sum(1)  # the gradient is 3x


def points(count=6, dimensions=2, seed=0, dtype=torch.float32):
    return torch.randn(count, dimensions, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def critic(normalise=False):
    torch.manual_seed(0)
    layers = [nn.Linear(2, 8), nn.Linear(8, 1)]
    first, last = (spectral_norm(layer) for layer in layers) if normalise else layers
    return nn.Sequential(first, nn.Tanh(), last, nn.Flatten(0))


EVERY = {
    "two-sided": lambda critic, x: interpolated_gradient_penalty(critic, x, -x),
    "one-sided": lambda critic, x: interpolated_gradient_penalty(critic, x, -x, one_sided=True),
    "dragan": dragan_penalty,
    "zero-centred": zero_centred_penalty,
}
every = pytest.mark.parametrize("penalty", EVERY.values(), ids=EVERY)


def test_closed_forms_on_a_linear_critic():
    x = points()
    assert torch.allclose(gradient_norms(linear, x), torch.full((6,), 5.0))
    assert float(interpolated_gradient_penalty(linear, x, -x)) == pytest.approx(16)
    assert float(interpolated_gradient_penalty(linear, x, -x, one_sided=True)) == pytest.approx(16)
    assert float(interpolated_gradient_penalty(flatter, x, -x)) == pytest.approx(0.25)
    assert float(interpolated_gradient_penalty(flatter, x, -x, one_sided=True)) == 0
    assert float(dragan_penalty(linear, x)) == pytest.approx(16)
    assert float(zero_centred_penalty(linear, x)) == pytest.approx(12.5)


def test_closed_forms_on_a_quadratic_critic():
    x = points()
    assert torch.allclose(gradient_norms(quadratic, x), 3 * x.norm(dim=1))
    assert float(zero_centred_penalty(quadratic, x)) == pytest.approx(float(4.5 * x.square().sum(1).mean()))
    # where both ends are one point, so is what lies between
    expected = (3 * x.norm(dim=1) - 1).square().mean()
    assert float(interpolated_gradient_penalty(quadratic, x, x)) == pytest.approx(float(expected), rel=1e-5)


def test_norms_and_sums_run_over_all_dimensions_of_an_image():
    x = torch.randn(4, 3, 5, 2)
    assert torch.allclose(gradient_norms(quadratic, x), 3 * x.flatten(1).norm(dim=1))
    expected = 4.5 * x.square().sum((1, 2, 3)).mean()
    assert float(zero_centred_penalty(quadratic, x)) == pytest.approx(float(expected), rel=1e-5)


def test_each_pair_has_an_epsilon_of_its_own():
    torch.manual_seed(0)
    real, fake = torch.ones(4000, 3, 2, 2), torch.zeros(4000, 3, 2, 2)
    epsilon = interpolates(real, fake).flatten(1)
    assert torch.equal(epsilon, epsilon[:, :1].expand_as(epsilon))  # one for all pixels of a pair
    shares = epsilon[:, 0].sort().values
    assert (shares - (torch.arange(4000) + 0.5) / 4000).abs().max() < 0.03  # uniform, by Kolmogorov's distance


def test_dragan_perturbs_as_its_authors_do():
    torch.manual_seed(0)
    real = torch.cat([torch.full((5000, 4), -1.0), torch.full((5000, 4), 3.0)])  # σ = 2
    noise = perturbed(real) - real
    assert 0 <= noise.min() < noise.max() < 1  # ½ σ = 1
    assert float(noise.mean()) == pytest.approx(1 / 4, abs=0.01)  # E α E u
    # pixels share α: cov(αu, αu') = E α² (E u)² − (E α E u)² = 1/12 − 1/16
    assert float(noise.T.cov()[0, 1]) == pytest.approx(1 / 48, abs=0.002)


@every
@pytest.mark.parametrize("normalise", [False, True], ids=["plain", "spectral norm"])
def test_gradients_in_the_weights_match_finite_differences(penalty, normalise):
    network = critic(normalise).double().eval()
    x = 3 * points(dtype=torch.float64)

    def value():
        torch.manual_seed(0)
        return 100 * penalty(network, x)

    value().backward()
    for parameter in network.parameters():
        if parameter.grad is None:  # the last bias moves no gradient
            assert parameter.shape == (1,)
            continue
        with torch.no_grad():
            flat = parameter.view(-1)
            for index in range(0, flat.numel(), 3):
                old, step = float(flat[index]), 1e-6
                flat[index] = old + step
                up = float(value())
                flat[index] = old - step
                down = float(value())
                flat[index] = old
                slope = float(parameter.grad.view(-1)[index])
                assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-5)


@every
@pytest.mark.parametrize("normalise", [False, True], ids=["plain", "spectral norm"])
def test_penalties_compile_in_one_piece_with_the_same_gradients(penalty, normalise):
    x, found = 3 * points(), []
    for compiled in (False, True):
        network = critic(normalise).train()  # in training the power iteration writes buffers

        def loss(x, network=network):
            return penalty(network, x) + network(x).mean()

        if compiled:
            loss = torch.compile(loss, fullgraph=True, backend="aot_eager")
        torch.manual_seed(1)
        loss(x).backward()
        found.append({name: p.grad for name, p in network.named_parameters()} | dict(network.named_buffers()))
    torch._dynamo.reset()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value)


def test_a_flat_critic_has_a_gradient_all_the_same():
    network = critic()
    with torch.no_grad():
        network[2].weight.zero_()
    x = points()
    interpolated_gradient_penalty(network, x, -x).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_no_gradient_reaches_the_examples():
    x = points().requires_grad_()
    assert not zero_centred_penalty(quadratic, x).requires_grad


# ---- critics that learn: N(0, 1), real, against N(2, 1), whose Wasserstein distance is 2

QUANTILES = torch.special.ndtri((torch.arange(1024, dtype=torch.float64) + 0.5) / 1024)[:, None]


def gap(network):
    return network(QUANTILES).mean() - network(QUANTILES + 2).mean()


def wide_critic():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0)).double()


def softened_gap(weight):
    """The gap of the best critic under the soft penalty, by calculus of variations.

    The critic's slope s maximises ∫ s (F_fake − F_real) − λ ρ (|s| − 1)², ρ the density of the points between.
    """
    x = torch.linspace(-8, 10, 3601, dtype=torch.float64)
    difference = torch.special.ndtr(x) - torch.special.ndtr(x - 2)
    shares = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    spread = (shares.square() + (1 - shares).square()).sqrt()[:, None]
    density = (torch.exp(-0.5 * ((x - 2 * (1 - shares)[:, None]) / spread).square()) / spread).mean(0)
    density /= math.sqrt(2 * math.pi)
    return float(torch.trapezoid(difference * (1 + difference / (2 * weight * density)), x))


def test_the_soft_penalty_overshoots_as_theory_says():
    assert softened_gap(10) == pytest.approx(2.21, abs=0.01)
    network, generator = wide_critic(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02, betas=(0.5, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    torch.manual_seed(0)
    for _ in range(500):
        real, fake = torch.randn(2, 512, 1, dtype=torch.float64, generator=generator)
        loss = -gap(network) + 10 * interpolated_gradient_penalty(network, real, fake + 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert gap(network).item() == pytest.approx(2.21, abs=0.08)


def test_clipped_weights_find_the_distance_up_to_their_slope():
    network = wide_critic()
    optimizer = torch.optim.RMSprop(network.parameters(), lr=5e-3)
    for _ in range(400):
        loss = -gap(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for weight in network.parameters():
                weight.clamp_(-0.1, 0.1)
    slope = gradient_norms(network, torch.linspace(-3, 5, 200, dtype=torch.float64)[:, None]).max()
    assert abs((gap(network) / (2 * slope)).item() - 1) < 0.15
