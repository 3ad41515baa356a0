import math

import pytest
import torch

from kallima.objectives.adversarial import hinge, minimax, non_saturating

EVERY = [minimax, non_saturating, hinge]
REAL = torch.tensor([2.0, -1.0, 0.0])
FAKE = torch.tensor([-0.5, 3.0])


def total(terms):
    return sum(float(term) for term in terms.values())


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_cross_entropy_by_hand():
    real = -sum(math.log(sigmoid(x)) for x in (2.0, -1.0, 0.0)) / 3
    fake = -sum(math.log(1 - sigmoid(x)) for x in (-0.5, 3.0)) / 2
    for objective in (minimax, non_saturating):
        terms = objective.discriminator(REAL, FAKE)
        assert {name: float(term) for name, term in terms.items()} == pytest.approx({"real": real, "fake": fake})
    assert float(minimax.generator(FAKE)["adversarial"]) == pytest.approx(-fake)
    non_saturated = -sum(math.log(sigmoid(x)) for x in (-0.5, 3.0)) / 2
    assert float(non_saturating.generator(FAKE)["adversarial"]) == pytest.approx(non_saturated)


def test_hinge_by_hand():
    terms = hinge.discriminator(REAL, FAKE)
    assert float(terms["real"]) == pytest.approx((0 + 2 + 1) / 3)
    assert float(terms["fake"]) == pytest.approx((0.5 + 4) / 2)
    assert float(hinge.generator(FAKE)["adversarial"]) == pytest.approx(-1.25)


def test_values_where_the_discriminator_cannot_tell():
    undecided = torch.zeros(5)
    assert total(minimax.discriminator(undecided, undecided)) == pytest.approx(math.log(4))
    assert total(hinge.discriminator(undecided, undecided)) == 2.0
    # E max(0, 1 - s) + E max(0, 1 + s) on one distribution of logits is 2 for every |s| <= 1, and more outside
    assert total(hinge.discriminator(torch.full((3,), 0.7), torch.full((3,), 0.7))) == pytest.approx(2.0)
    assert total(hinge.discriminator(torch.full((3,), 1.5), torch.full((3,), 1.5))) > 2.0


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)
def test_gradients_match_finite_differences(objective):
    generator = torch.Generator().manual_seed(0)
    real, fake = (2 * torch.randn(6, dtype=torch.float64, generator=generator) for _ in range(2))
    inputs = (real.requires_grad_(), fake.requires_grad_())
    assert torch.autograd.gradcheck(lambda r, f: tuple(objective.discriminator(r, f).values()), inputs)
    assert torch.autograd.gradcheck(lambda f: tuple(objective.generator(f).values()), inputs[1:])


def test_only_the_saturating_gradient_vanishes_where_the_discriminator_wins():
    slopes = {}
    for objective in EVERY:
        logits = torch.full((1,), -20.0, requires_grad=True)
        objective.generator(logits)["adversarial"].backward()
        slopes[objective.name] = float(logits.grad)
    assert -1e-8 < slopes["minimax"] < 0.0
    assert slopes["non-saturating"] == pytest.approx(-1.0)
    assert slopes["hinge"] == -1.0


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: objective.name)
def test_no_logit_overflows(objective):
    extremes = torch.tensor([-1e4, 1e4], requires_grad=True)
    terms = [*objective.discriminator(extremes, extremes).values(), *objective.generator(extremes).values()]
    sum(terms).backward()
    assert all(torch.isfinite(term) for term in terms)
    assert torch.isfinite(extremes.grad).all()


def best_discriminator(mean):
    """Train a small network alone on N(0, 1) (real) against N(mean, 1) (fake), in float64."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    quantiles = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    real = torch.special.ndtri(quantiles)[:, None]  # a stratified sample: no noise of drawing in the bars
    for _ in range(400):
        loss = sum(minimax.discriminator(network(real), network(real + mean)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network, -loss.item()


def test_the_best_discriminator_is_p_over_p_plus_q():
    network, value = best_discriminator(1.0)
    assert value == pytest.approx(-1.1635, abs=0.01)
    x = torch.linspace(-2, 3, 101, dtype=torch.float64)[:, None]
    exact = torch.sigmoid(0.5 - x)  # N(x; 0, 1) / (N(x; 0, 1) + N(x; 1, 1))
    assert (network(x).sigmoid() - exact).abs().max() < 0.03


def test_equal_distributions_leave_the_best_discriminator_undecided():
    _, value = best_discriminator(0.0)
    assert value == pytest.approx(-math.log(4), abs=1e-3)
