"""Ladder variational autoencoders: against a ladder of which all is known, against one level, and learning."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.objectives.importance import importance_weighted
from kallima.recipe import get_recipe
from kallima.systems.autoencoders.ladder_vae import LEAST_VARIANCE, combined, moments
from tests.test_learning import QUIET
from tests.test_vae import Affine, Posterior

SPEC = Spec({"image": Image(1, 8, 8)})
SLOPE, SPREAD, DEVIATION = 1.5, 0.7, 0.5


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("ladder-vae").build(SPEC, width=16, latent_dim=3, hidden=12, **arguments)


def batch_of(count: int = 6) -> Batch:
    return Batch({"image": torch.rand(count, 1, 8, 8) * 2 - 1})


def said(mean: torch.Tensor, variance: float) -> torch.Tensor:
    """What a layer says for a mean and a variance: the latter before softplus."""
    return torch.cat([mean, torch.full_like(mean, math.log(math.expm1(variance - LEAST_VARIANCE)))], 1)


class Given(nn.Module):
    """Mean and log variance by a function."""

    def __init__(self, function: Any):
        super().__init__()
        self.function = function

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.function(value)


def linear_ladder(upper_error: float = 0.0) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """z_2 ~ N(0, 1), z_1 ~ N(a z_2, s²), x ~ N(w z_1 + b, σ² I): a model, images drawn from it, their log p(x)."""
    model = get_recipe("ladder-vae").build(
        SPEC, latent_dim=1, upper=(1,), hidden=4, likelihood="fixed-gaussian", deviation=DEVIATION
    )
    model.double().eval()
    rng = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(64, 1, generator=rng).double(), 0.1 * torch.randn(64, generator=rng).double()
    sharp = (weight**2).sum().item()
    vague = DEVIATION**2 / sharp  # variance of z_1 that the pixels leave
    precision = 1 + SLOPE**2 / (SPREAD**2 + vague)  # of z_2, given the pixels

    def vote(features: torch.Tensor, level: int) -> torch.Tensor:
        mean = (features - bias) @ weight / sharp
        if level == 0:
            return said(mean, vague)
        mean = SLOPE * mean / (SPREAD**2 + vague) / precision + upper_error
        return said(mean, 1 / precision)

    model.decoder = Affine(weight, bias)
    model.encoder, model.settle = nn.Flatten(), nn.Identity()
    model.votes = nn.ModuleList(Given(lambda f, level=level: vote(f, level)) for level in (0, 1))
    model.rises = nn.ModuleList([nn.Identity()])
    model.priors = nn.ModuleList([Given(lambda z: said(SLOPE * z, SPREAD**2))])
    covariance = weight @ weight.T * (SLOPE**2 + SPREAD**2) + DEVIATION**2 * torch.eye(64)
    truth = MultivariateNormal(bias, covariance)
    torch.manual_seed(4)
    images = truth.sample((40,))
    return model, images.view(-1, 1, 8, 8), truth.log_prob(images)


def test_the_product_of_two_gaussians_is_theirs():
    torch.manual_seed(0)
    mean, log_variance, other_mean, other_log_variance = torch.randn(4, 5, 1).double()
    z = torch.linspace(-30, 30, 6_001, dtype=torch.float64)
    both = Normal(mean, (0.5 * log_variance).exp()).log_prob(z)
    both = (both + Normal(other_mean, (0.5 * other_log_variance).exp()).log_prob(z)).exp()
    both /= both.sum(1, keepdim=True)
    expected = (both * z).sum(1)
    found, spread = combined(mean, log_variance, other_mean, other_log_variance)
    torch.testing.assert_close(found[:, 0], expected)
    torch.testing.assert_close(spread[:, 0].exp(), (both * z.square()).sum(1) - expected.square())
    far, sure = combined(*(torch.tensor([value]) for value in (5.0, 80.0, -3.0, -80.0)))
    assert far.item() == pytest.approx(-3.0)
    assert sure.item() == pytest.approx(-80.0)


def test_a_linear_ladder_that_votes_rightly_finds_the_posterior_and_so_the_likelihood():
    model, images, truth = linear_ladder()
    weights = model.log_weights_of(Batch({"image": images}), 5)
    torch.testing.assert_close(weights, truth.expand(5, -1))  # each draw, for q is the posterior itself
    many = Batch({"image": images.repeat(500, 1, 1, 1)})
    torch.manual_seed(0)
    terms, notes = model.loss(many)
    assert notes["elbo"].item() == pytest.approx(truth.mean().item(), abs=0.02)
    assert notes["level_1"] > 0.5
    assert notes["level_2"] > 0.5
    torch.testing.assert_close(notes["level_1"] + notes["level_2"] + terms["reconstruction"], -notes["elbo"])


def test_a_wrong_vote_above_costs_its_divergence_though_all_below_is_right():
    model, images, truth = linear_ladder(upper_error=0.3)
    torch.manual_seed(0)
    gaps = []
    for draws, times in ((1, 500), (20, 50)):
        many = Batch({"image": images.repeat(times, 1, 1, 1)})
        bound = importance_weighted(model.log_weights_of(many, draws))
        gaps.append((truth.repeat(times) - bound).mean().item())
    sharp = (model.decoder.weight**2).sum().item()
    precision = 1 + SLOPE**2 / (SPREAD**2 + DEVIATION**2 / sharp)
    assert gaps[0] == pytest.approx(0.5 * 0.3**2 * precision, abs=0.02)  # four standard errors
    assert 0 < gaps[1] < 0.2 * gaps[0]


def test_one_level_is_the_plain_autoencoder():
    model, _, _ = linear_ladder()
    plain = get_recipe("vae").build(SPEC, latent_dim=1, likelihood="fixed-gaussian", deviation=DEVIATION).double()
    weight, bias = model.decoder.weight, model.decoder.bias
    plain.encoder, plain.decoder = Posterior(weight, bias, DEVIATION, 0.2), Affine(weight, bias)
    single = get_recipe("ladder-vae").build(
        SPEC, latent_dim=1, upper=(), hidden=4, likelihood="fixed-gaussian", deviation=DEVIATION, warm_up=0.0
    )
    single.encoder, single.settle, single.decoder = nn.Flatten(), nn.Identity(), plain.decoder
    variance = plain.encoder(torch.zeros(1, 64).double())[0, 1].exp().item()
    single.votes = nn.ModuleList([Given(lambda f: said(plain.encoder(f)[:, :1], variance))])
    batch = Batch({"image": torch.randn(6, 1, 8, 8).double()})
    found = []
    for system in (plain, single):
        torch.manual_seed(2)
        terms, notes = system.loss(batch)
        found.append((terms, notes["elbo"], system.encode(batch["image"]), system.log_weights_of(batch, 3)))
    torch.testing.assert_close(found[0], found[1])


def test_each_level_is_charged_against_its_own_prior_at_the_draw(monkeypatch: pytest.MonkeyPatch):
    """Torch's own divergences, level by level, with every code at its mean."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system = build(upper=(2, 2)).eval()
    batch = Batch({"image": batch_of()["image"].sign()})
    terms, notes = system.loss(batch)
    assert terms["divergence"] == 0  # warm-up has not begun
    system.progress.fill_(0.05)
    torch.testing.assert_close(system.loss(batch)[0]["divergence"], 0.5 * sum(notes[f"level_{i}"] for i in (1, 2, 3)))
    (low, low_spread), (middle, middle_spread), (top, top_spread) = system.ballot(batch["image"])
    cost = kl_divergence(Normal(top, (0.5 * top_spread).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(notes["level_3"], cost)
    code = top
    for level, (mean, spread) in ((1, (middle, middle_spread)), (0, (low, low_spread))):
        prior_mean, prior_spread = moments(system.priors[level](code))
        precision = (-spread).exp() + (-prior_spread).exp()
        code = (mean * (-spread).exp() + prior_mean * (-prior_spread).exp()) / precision
        cost = kl_divergence(Normal(code, precision**-0.5), Normal(prior_mean, (0.5 * prior_spread).exp()))
        torch.testing.assert_close(notes[f"level_{level + 1}"], cost.sum(1).mean())
    torch.testing.assert_close(
        terms["reconstruction"], -system.likelihood.log_probability(system.decoder(code), batch["image"]).mean()
    )


def test_a_latent_is_the_noise_of_all_levels_and_comes_back_from_what_it_made():
    system = build(upper=(2, 2))
    assert system.latents(5).shape == (5, 7)
    seen = []
    system.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = batch_of()["image"]
    system.reconstruct(images)
    with torch.no_grad():
        levels = system.eval().descend(system.ballot(images), torch.zeros_like)
    torch.testing.assert_close(seen[0], levels[-1].mean, rtol=1e-4, atol=1e-4)
    latents = system.latents(4000, rng=torch.Generator().manual_seed(0))
    held = latents.clone()
    held[:, 2:] = 0  # all but the highest code
    system.decode(latents)
    system.decode(held)
    code, prior = seen[1], system.prior_moments(0, system.prior_moments(1, latents[:, :2])[0])
    torch.testing.assert_close(seen[2], prior[0])
    assert (code - seen[2]).std() > 0.5


def test_values_out_of_range_are_one_line():
    with pytest.raises(UsageError, match="--upper and --hidden count from 1"):
        build(upper=(4, 0))


def test_the_bound_on_binary_digits_comes_down_and_two_levels_are_at_work(tmp_path: Path):
    """Independent pixels with the right brightness cost 24.4 nats a digit; one idle level costs nothing."""
    from sklearn.datasets import load_digits

    white = load_digits().images > 8
    np.savez(tmp_path / "digits.npz", images=np.uint8(255) * white.astype(np.uint8))
    options: dict[str, Any] = {"width": 64, "latent_dim": 8, "upper": (4,), "hidden": 64, "learning_rate": 3e-3}
    run = kallima.train(
        "ladder-vae", data=tmp_path / "digits.npz", steps=500, batch_size=64, out=tmp_path / "run", **QUIET, **options
    )
    model: Any = kallima.load(run, device="cpu")
    images = 2 * torch.from_numpy(white.astype(np.float32))[:, None] - 1
    torch.manual_seed(0)
    bound = -importance_weighted(model.log_weights_of(Batch({"image": images}), 20)).mean().item()
    assert bound < 24.4 - 3
    _, notes = model.loss(Batch({"image": images}))
    assert notes["level_1"] > 0.5
    assert notes["level_2"] > 0.5
    right = (model.reconstruct(images).sign() == images).float().mean()
    assert right > np.maximum(white.mean(0), 1 - white.mean(0)).mean() + 0.03
    sampled = model.sample(500, rng=torch.Generator().manual_seed(0))
    assert (0.5 * (sampled.mean(0) + 1) - torch.from_numpy(white.mean(0)).float()).abs().mean() < 0.08
