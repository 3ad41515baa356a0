"""Variational autoencoders: the bound against a model of which all is known, what a code costs, and learning."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.objectives.importance import importance_weighted
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b"))})


def build(name: str = "vae", **arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe(name).build(SPEC, width=16, latent_dim=3, **arguments)


def batch_of(count: int = 6) -> Batch:
    return Batch({"image": torch.rand(count, 1, 8, 8) * 2 - 1, "label": torch.arange(count) % 2})


class Affine(nn.Module):
    """z to W z + b, as an image."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes @ self.weight.T + self.bias).unflatten(1, (1, 8, 8))


class Posterior(nn.Module):
    """The exact posterior of one dimension of `Affine` under pixels of deviation σ."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, deviation: float, error: float = 0.0):
        super().__init__()
        self.weight, self.bias, self.deviation, self.error = weight, bias, deviation, error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        precision = 1 + (self.weight**2).sum() / self.deviation**2
        mean = (images.flatten(1) - self.bias) @ self.weight / self.deviation**2 / precision
        return torch.cat([mean + self.error, torch.full_like(mean, -math.log(precision))], 1)


def linear_model(error: float = 0.0) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """p(x) = N(b, w wᵀ + σ² I), in double precision: a model, images drawn from it, and their log p(x)."""
    model = get_recipe("vae").build(SPEC, latent_dim=1, likelihood="fixed-gaussian", deviation=0.5).double()
    rng = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(64, 1, generator=rng).double(), 0.1 * torch.randn(64, generator=rng).double()
    model.decoder, model.encoder = Affine(weight, bias), Posterior(weight, bias, 0.5, error)
    covariance = weight @ weight.T + 0.25 * torch.eye(64)
    truth = torch.distributions.MultivariateNormal(bias, covariance)
    torch.manual_seed(4)
    images = truth.sample((40,))
    return model, images.view(-1, 1, 8, 8), truth.log_prob(images)


def test_with_the_true_posterior_every_bound_is_the_likelihood_itself():
    model, images, truth = linear_model()
    for draws in (1, 7):
        bound = importance_weighted(model.log_weights_of(Batch({"image": images}), draws))
        torch.testing.assert_close(bound, truth)


def test_with_a_wrong_one_the_bound_lies_below_by_the_divergence_and_rises_with_the_draws():
    model, images, truth = linear_model(error=0.1)
    precision = 1 + (model.decoder.weight**2).sum().item() / 0.25
    torch.manual_seed(0)
    batch = Batch({"image": images.repeat(50, 1, 1, 1)})
    gaps = [(truth.repeat(50) - importance_weighted(model.log_weights_of(batch, k))).mean().item() for k in (1, 5, 50)]
    assert gaps[0] == pytest.approx(0.5 * 0.1**2 * precision, rel=0.1)  # KL of two Gaussians of one variance
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_the_two_terms_are_the_bound_and_beta_weighs_one():
    system = build()
    batch = batch_of()
    torch.manual_seed(1)
    terms, notes = system.loss(batch)
    torch.testing.assert_close(notes["elbo"], -(terms["reconstruction"] + terms["divergence"]))
    heavier = build(beta=4.0)
    torch.manual_seed(1)
    again, same = heavier.loss(batch)
    torch.testing.assert_close(again["divergence"], 4 * terms["divergence"])
    torch.testing.assert_close(same["elbo"], notes["elbo"])
    mean, log_variance = system.moments(system.likelihood.target(batch["image"]), None)
    assert mean.shape == log_variance.shape == (6, 3)


def test_free_bits_charge_for_what_is_above_and_warm_up_charges_later():
    batch = batch_of()
    generous = build(free_bits=100.0)
    terms, _ = generous.loss(batch)
    assert terms["divergence"].item() == pytest.approx(300)
    assert not torch.autograd.grad(terms["divergence"], generous.encoder.output.weight)[0].any()
    slow = build(warm_up=0.5)
    charged = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        slow.progress.fill_(progress)
        torch.manual_seed(1)
        charged.append(slow.loss(batch)[0]["divergence"].item())
    assert charged[0] == 0
    assert charged[1] == pytest.approx(0.5 * charged[2])
    assert charged[3] == pytest.approx(charged[2])


def test_one_draw_of_the_importance_weighted_loss_is_the_bound_in_expectation():
    """Two estimators of one number: the closed form of the divergence, and the ratio at the draw."""
    torch.manual_seed(5)
    plain, weighted = build(), build("iwae", draws=1)
    weighted.load_state_dict(plain.state_dict())
    many = Batch({"image": batch_of(4)["image"].sign().repeat(4_000, 1, 1, 1)})
    with torch.no_grad():
        terms, _ = plain.loss(many)
        bound = weighted.loss(many)[0]["bound"]
    torch.testing.assert_close(bound, terms["reconstruction"] + terms["divergence"], rtol=2e-3, atol=0)


def test_the_conditional_decoder_is_told_and_so_is_the_encoder():
    system = build("conditional-vae")
    told = []
    system.decoder.register_forward_pre_hook(lambda _, inputs: told.append(inputs[0][:, 3:]))
    system.encoder.register_forward_pre_hook(lambda _, inputs: told.append(inputs[1]))
    _, notes = system.loss(batch_of(4))
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 2)
    assert torch.equal(told[0], expected)
    assert torch.equal(told[1], expected)
    assert torch.equal(notes["condition"], expected)
    assert list(system.parts) == ["z", "label"]


def test_values_out_of_range_are_one_line():
    with pytest.raises(UsageError, match="--warm-up is a share"):
        build(warm_up=1.5)
    with pytest.raises(UsageError, match="--deviation is above 0"):
        build(deviation=0.0)
    with pytest.raises(UsageError, match="--draws"):
        build("iwae", draws=0)


@pytest.mark.parametrize("recipe", ["vae", "iwae"])
def test_the_bound_on_binary_digits_comes_well_below_independent_pixels(recipe: str, tmp_path: Path):
    """Independent pixels with the right brightness cost 24.4 nats a digit, an untrained model 44.7."""
    from sklearn.datasets import load_digits

    white = load_digits().images > 8
    np.savez(tmp_path / "digits.npz", images=np.uint8(255) * white.astype(np.uint8))
    brightness = white.mean(0).clip(1e-9, 1 - 1e-9)
    entropy = -(brightness * np.log(brightness) + (1 - brightness) * np.log(1 - brightness)).sum()
    small: dict[str, Any] = {"width": 64, "latent_dim": 8, "learning_rate": 3e-3}
    run = kallima.train(
        recipe, data=tmp_path / "digits.npz", steps=400, batch_size=64, out=tmp_path / "run", **{**QUIET, **small}
    )
    model: Any = kallima.load(run, device="cpu")
    images = 2 * torch.from_numpy(white.astype(np.float32))[:, None] - 1
    torch.manual_seed(0)
    bound = -importance_weighted(model.log_weights_of(Batch({"image": images}), 20)).mean().item()
    assert entropy == pytest.approx(24.4, abs=0.1)
    assert bound < entropy - 2
    scores = {score.metric: score for score in kallima.evaluate(run, metrics=["elbo", "nll"], device="cpu")}
    assert scores["nll"].value == pytest.approx(bound, abs=0.5)
    assert -scores["elbo"].value > scores["nll"].value
    assert any("dynamic binarisation" in note for note in scores["elbo"].notes)
    reconstructed = model.reconstruct(images)
    majority = np.maximum(brightness, 1 - brightness).mean()  # right pixels of a model that says the same of all
    assert (reconstructed.sign() == images).float().mean() > majority + 0.03
