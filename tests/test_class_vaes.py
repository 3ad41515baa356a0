"""Variational autoencoders with a class: every term against enumeration, the bound against an integral, learning."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Normal, kl_divergence

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.objectives.gaussian import divergence
from kallima.objectives.importance import importance_weighted
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c"))})


def build(name: str, latent_dim: int = 2, **arguments: Any) -> Any:
    torch.manual_seed(0)
    if name == "gmvae":
        arguments.setdefault("clusters", 3)
    system: Any = get_recipe(name).build(SPEC, width=12, latent_dim=latent_dim, **arguments)
    return system


def images_of(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8).round() * 2 - 1


def test_the_divergence_of_two_gaussians_is_the_closed_form():
    torch.manual_seed(0)
    moments = [torch.randn(4, 3) for _ in range(4)]
    one, other = (Normal(m, (0.5 * v).exp()) for m, v in (moments[:2], moments[2:]))
    torch.testing.assert_close(divergence(*moments), kl_divergence(one, other).sum(1))


@pytest.mark.parametrize("name", ["gmvae", "m2"])
def test_the_free_energy_is_that_of_enumeration(name: str, monkeypatch: pytest.MonkeyPatch):
    """Each image and each class by itself, from torch's distributions, with z at the mean of q."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system, images = build(name), images_of()
    terms, log_q = system.free_energy(images)
    error, cost, category = 0.0, 0.0, 0.0
    for image in images:
        classes = Categorical(logits=system.sorter(image[None])[0])
        for y in range(3):
            told = torch.eye(3)[y : y + 1]
            mean, log_variance = system.encoder(image[None], told).chunk(2, 1)
            if name == "gmvae":
                m = system.mixture.weight[:, y] + system.mixture.bias
                prior = Normal(m[:2], (0.5 * m[2:]).exp())
                logits = system.decoder(mean)
            else:
                prior = Normal(torch.zeros(2), 1.0)
                logits = system.decoder(torch.cat([mean, told], 1))
            log_p = -F.binary_cross_entropy_with_logits(logits[0], (image + 1) / 2, reduction="sum")
            error -= classes.probs[y] * log_p / 5
            cost += classes.probs[y] * kl_divergence(Normal(mean, (0.5 * log_variance).exp()), prior).sum() / 5
        category += (math.log(3) - classes.entropy()) / 5
    torch.testing.assert_close(terms["reconstruction"], error)
    torch.testing.assert_close(terms["divergence"], cost)
    torch.testing.assert_close(terms["category"], category)
    assert terms["category"] > 0.01
    assert log_q.shape == (5, 3)


@pytest.mark.parametrize("name", ["gmvae", "m2"])
def test_the_bound_reaches_the_likelihood_that_an_integral_gives(name: str):
    """With one dimension of z, log p(x) = log Σ_y 1/K ∫ p(z|y) p(x|z,y) dz can be had on a grid."""
    system, images = build(name, latent_dim=1), images_of(3)
    z = torch.linspace(-12, 12, 4001)[:, None]
    total = torch.zeros(3, dtype=torch.float64)
    for y in range(3):
        told = torch.eye(3)[y : y + 1]
        mean, log_variance = system.prior_moments(told)
        log_prior = Normal(mean, (0.5 * log_variance).exp()).log_prob(z)[:, 0]
        with torch.no_grad():
            logits = system.decoder(torch.cat([z, told.expand(len(z), 3)], 1) if name == "m2" else z)
        for place, image in enumerate(images):
            each = (
                -F.binary_cross_entropy_with_logits(logits, ((image + 1) / 2).expand_as(logits), reduction="none")
                .flatten(1)
                .sum(1)
            )
            total[place] += (log_prior + each).double().exp().sum() * (z[1] - z[0]).item() / 3
    torch.manual_seed(0)
    system.likelihood.target = lambda x: x
    weights = system.log_weights_of(Batch({"image": images}), 4000)
    torch.testing.assert_close(importance_weighted(weights).double(), total.log(), atol=0.1, rtol=0)
    with torch.no_grad():
        energies = torch.stack([sum(system.free_energy(images)[0].values()) for _ in range(50)]).mean()
    assert energies > -total.log().mean()


def test_what_is_labelled_is_charged_by_its_own_class_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    system = build("m2", classification=7.0)
    system.likelihood.target = lambda x: x
    images, labels = images_of(4), torch.tensor([2, 0, 1, 1])
    terms, _ = system.loss(Batch({"image": images_of(6)}), Batch({"image": images, "label": labels}))
    log_q, error, cost = system.energies(images)
    own = labels[:, None]
    torch.testing.assert_close(terms["labelled"], (error + cost).gather(1, own).mean() + math.log(3))
    torch.testing.assert_close(terms["classification"], -7 * log_q.gather(1, own).mean())


def test_a_latent_is_noise_and_class_and_comes_back_from_what_it_made():
    system = build("gmvae")
    latents = system.latents(6, rng=torch.Generator().manual_seed(0))
    assert latents.shape == (6, 5)
    assert torch.equal(latents[:, 2:].sum(1), torch.ones(6))
    seen = []
    system.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = images_of()
    system.decode(system.encode(images))
    category = F.one_hot(system.cluster(images).argmax(1), 3).float()
    mean = system.encoder(images, category)[:, :2]
    torch.testing.assert_close(seen[0], mean)  # standardised by the cluster's moments, and back


def test_values_out_of_range_are_one_line():
    with pytest.raises(UsageError, match="--clusters counts from 2"):
        build("gmvae", clusters=1)
    with pytest.raises(UsageError, match="--labelled counts from 1"):
        build("m2", labelled=0)


def test_few_labels_and_many_images_beat_the_labels_alone(tmp_path: Path):
    """Binary digits, 30 labels; the baseline is the same classifier on the same labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(
        tmp_path / "digits.npz",
        images=np.uint8(255) * (digits.images > 8).astype(np.uint8),
        labels=digits.target,
    )
    options: dict[str, Any] = {**QUIET, "width": 128, "latent_dim": 3, "learning_rate": 5e-4, "labelled": 30}
    options["classification"] = 10.0
    run = kallima.train("m2", data=tmp_path / "digits.npz", steps=800, batch_size=64, out=tmp_path / "run", **options)
    error = {s.metric: s.value for s in kallima.evaluate(run, metrics=["error", "baseline-error"], device="cpu")}
    assert error["error"] < 0.9 * error["baseline-error"]
    assert error["error"] < 0.35
