import math

import pytest
import torch

from kallima.objectives.margins import loss_sensitive, margin_loss, mean_absolute_difference, ranking_loss

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.5, 0.0, -4.0])


def test_margin_and_ranking_by_hand():
    assert float(margin_loss(REAL, FAKE, 1.0)) == pytest.approx((0.5 + 2.0 + 0.0) / 3)
    assert float(ranking_loss(REAL, FAKE, 1.0)) == pytest.approx((1.5 + 3.0 + 0.0) / 3)
    assert float(margin_loss(REAL, FAKE, torch.tensor([0.25, 3.0, 5.0]))) == pytest.approx((0.0 + 4.0 + 0.5) / 3)


def test_the_margin_is_asked_for_and_no_more():
    real = torch.tensor([1.0, 1.0], requires_grad=True)
    loss = margin_loss(real, torch.tensor([-0.5, 0.5]), 1.0)
    loss.backward()
    assert real.grad.tolist() == [0.0, -0.5]


def test_the_distance_is_of_each_pair():
    real = torch.zeros(2, 3, 2, 2)
    fake = torch.stack([torch.full((3, 2, 2), -0.5), torch.tensor([0.0, 1.0, 2.0])[:, None, None].expand(3, 2, 2)])
    assert mean_absolute_difference(real, fake).tolist() == [0.5, 1.0]
    assert mean_absolute_difference(torch.zeros(1, 2), torch.tensor([[3.0, -1.0]])).tolist() == [2.0]
    assert loss_sensitive(scale=4.0).distance(real, fake).tolist() == [2.0, 4.0]


def test_loss_sensitive_by_hand():
    objective = loss_sensitive(weight=0.5)
    distances = (0.25, 3.0, 5.0)
    terms = objective.discriminator(REAL, FAKE, torch.tensor(distances))
    of_real, of_fake = ([math.log(1 + math.exp(-s)) for s in scores.tolist()] for scores in (REAL, FAKE))
    margins = [max(0.0, d + a - b) for d, a, b in zip(distances, of_real, of_fake, strict=True)]
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"real": sum(of_real) / 3, "margin": 0.5 * sum(margins) / 3}
    )
    assert margins[0] > 0
    assert float(objective.generator(None, FAKE)["adversarial"]) == pytest.approx(sum(of_fake) / 3)


def test_with_a_zero_hinge_the_gradient_is_that_of_the_expected_loss():
    objective = loss_sensitive(weight=3.0, scale=2.0)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    weights = list(network.parameters())
    real, fake = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)

    def gradient(offset):
        scores = network(real)[:, 0], network(fake)[:, 0] - offset
        terms = objective.discriminator(*scores, objective.distance(real, fake))
        return torch.autograd.grad(sum(terms.values()), weights)

    expected = torch.autograd.grad(torch.nn.functional.softplus(-network(real)).mean(), weights)  # of E L(x)
    torch.testing.assert_close(gradient(1e3), expected, rtol=0, atol=0)
    assert any((found - wanted).abs().max() > 0.1 for found, wanted in zip(gradient(0.0), expected, strict=True))


def test_near_fakes_are_let_be_sooner_than_far_ones():
    objective = loss_sensitive()
    scores = torch.zeros(2, requires_grad=True)
    real, fake = torch.zeros(2, 2), torch.tensor([[0.1, 0.1], [5.0, 5.0]])
    # L of the real ones is 0.31 and of the fakes 0.69: a margin of 0.1 is met, one of 5 is not
    objective.discriminator(torch.ones(2), scores, objective.distance(real, fake))["margin"].backward()
    assert scores.grad.tolist() == pytest.approx([0.0, 0.25])  # half of the slope of L at 0, which is -1/2
