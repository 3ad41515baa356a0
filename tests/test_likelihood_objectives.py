"""What a decoder's numbers mean: pixels' probabilities sum to one, their means are right, bounds are bounds."""

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal, kl_divergence

from kallima.objectives.gaussian import reparameterised, standard_normal_divergence
from kallima.objectives.importance import importance_weighted
from kallima.objectives.likelihood import Bernoulli, DiscretisedLogistic, FixedGaussian, Gaussian

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1


@pytest.mark.parametrize("mean", [-3.0, -1.0, -0.2, 0.4, 1.0, 2.5])
@pytest.mark.parametrize("log_scale", [-6.5, -4.0, -1.0, 1.5])
def test_the_levels_of_the_discretised_logistic_sum_to_one(mean: float, log_scale: float):
    parameters = torch.tensor([mean, log_scale], dtype=torch.float64).view(1, 2, 1, 1).expand(256, -1, -1, -1)
    log_p = DiscretisedLogistic().log_probability(parameters, LEVELS.view(256, 1, 1, 1))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_level_far_out_keeps_its_gradient():
    parameters = torch.tensor([0.9, -6.0]).view(1, 2, 1, 1).requires_grad_()
    log_p = DiscretisedLogistic().log_probability(parameters, torch.full((1, 1, 1, 1), -0.5))
    log_p.sum().backward()
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(parameters.grad).all()
    assert parameters.grad[0, 0, 0, 0] < -100  # the mean should come down, hard


def test_densities_are_those_of_torchs_distributions():
    torch.manual_seed(0)
    parameters, target = torch.randn(5, 4, 3, 3), torch.rand(5, 2, 3, 3) * 2 - 1
    mean, log_deviation = parameters.chunk(2, 1)
    theirs = Normal(mean, log_deviation.exp()).log_prob(target).sum((1, 2, 3))
    torch.testing.assert_close(Gaussian().log_probability(parameters, target), theirs)
    theirs = Normal(mean, 0.3).log_prob(target).sum((1, 2, 3))
    torch.testing.assert_close(FixedGaussian(0.3).log_probability(mean, target), theirs)
    black_or_white = target.sign()
    theirs = TorchBernoulli(logits=mean).log_prob((black_or_white + 1) / 2).sum((1, 2, 3))
    torch.testing.assert_close(Bernoulli().log_probability(mean, black_or_white), theirs)


def test_binarised_pixels_are_white_as_often_as_they_are_bright():
    torch.manual_seed(0)
    images = torch.tensor([-1.0, -0.5, 0.0, 0.8, 1.0]).view(1, 1, 1, 5).expand(20_000, 1, 1, 5)
    drawn = Bernoulli().target(images)
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(drawn.mean(0).flatten(), images[0].flatten(), atol=0.03, rtol=0)
    assert torch.equal(drawn[..., [0, 4]], images[..., [0, 4]])


def test_the_means_of_the_pixels():
    logits = torch.tensor([-800.0, 0.0, math.log(3.0)]).view(1, 1, 1, 3)
    torch.testing.assert_close(Bernoulli().mean(logits).flatten(), torch.tensor([-1.0, 0.0, 0.5]))
    both = torch.tensor([[0.25, -2.0], [7.0, 3.0]]).T.reshape(2, 2, 1, 1)
    assert Gaussian().mean(both).flatten().tolist() == [0.25, -1.0]


def test_the_divergence_from_the_prior_is_the_closed_form_and_the_mean_of_draws():
    torch.manual_seed(1)
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    theirs = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(standard_normal_divergence(mean, log_variance), theirs)
    draws = reparameterised(mean, log_variance, torch.randn(200_000, 4, 3))
    estimate = (posterior.log_prob(draws) - Normal(0.0, 1.0).log_prob(draws)).sum(2).mean(0)
    torch.testing.assert_close(estimate, theirs, atol=0.05, rtol=0.01)


def test_reparameterised_draws_pass_the_true_gradient_on():
    """E z² = μ² + σ², so its gradient in μ is 2μ and in log σ² is σ²."""
    torch.manual_seed(2)
    mean, log_variance = torch.tensor([[0.7]], requires_grad=True), torch.tensor([[-0.4]], requires_grad=True)
    reparameterised(mean, log_variance, torch.randn(400_000, 1)).square().mean().backward()
    assert mean.grad.item() == pytest.approx(1.4, abs=0.02)
    assert log_variance.grad.item() == pytest.approx(math.exp(-0.4), abs=0.02)


def test_the_importance_weighted_bound_is_the_log_of_a_mean_and_never_falls_on_average():
    torch.manual_seed(3)
    log_weights = torch.randn(64, 5_000) * 2
    by_hand = log_weights.exp().mean(0).log()
    torch.testing.assert_close(importance_weighted(log_weights), by_hand)
    assert torch.isfinite(importance_weighted(log_weights - 2_000)).all()
    bounds = [importance_weighted(log_weights[:k]).mean().item() for k in (1, 2, 4, 8, 16, 32, 64)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < 2.0  # log E w = σ²/2 = 2
