"""Autoencoders: charges of a code in closed form, tied weights, who moves while layers are trained, and PCA beaten."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.objectives.coding import contraction, sparsity
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8)})


def build(name: str = "autoencoder", **arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe(name).build(SPEC, **{"units": (16, 8), "latent_dim": 3, **arguments})


def batch_of(count: int = 6) -> Batch:
    return Batch({"image": torch.rand(count, 1, 8, 8) * 2 - 1})


def test_sparsity_is_the_divergence_of_two_coins_a_unit():
    activity = torch.tensor([[0.1, 0.8], [0.3, 0.6]])
    coins = [torch.distributions.Bernoulli(torch.tensor(p)) for p in (0.05, 0.2, 0.7)]
    theirs = sum(torch.distributions.kl_divergence(coins[0], coin) for coin in coins[1:])
    torch.testing.assert_close(sparsity(activity, 0.05), theirs)
    assert sparsity(torch.full((4, 3), 0.05), 0.05).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(sparsity(torch.zeros(4, 3), 0.05))


def test_contraction_is_the_closed_form_of_a_sigmoid_layer():
    """‖∂h/∂x‖² = Σⱼ (hⱼ (1 − hⱼ))² Σᵢ Wⱼᵢ² (Rifai et al. 2011, section 3)."""
    layer, x = nn.Linear(5, 4), torch.randn(7, 5)
    h = torch.sigmoid(layer(x))
    by_hand = ((h * (1 - h)).square() * layer.weight.square().sum(1)).sum(1).mean()
    torch.testing.assert_close(contraction(lambda each: torch.sigmoid(layer(each)), x), by_hand)
    contraction(lambda each: torch.sigmoid(layer(each)), x).backward()
    assert layer.weight.grad.any()


def test_errors_are_summed_over_pixels_and_pixels_go_from_0_to_1():
    system, batch = build(), batch_of()
    images = (batch["image"] + 1) / 2
    rebuilt = torch.sigmoid(system.network.decode(system.network.encode(images)))
    squared = ((images - rebuilt) ** 2).sum((1, 2, 3)).mean()
    torch.testing.assert_close(system.loss(batch)[0]["reconstruction"], squared)
    torch.testing.assert_close(system.reconstruct(batch["image"]), 2 * rebuilt - 1)
    entropic = build(error="cross-entropy")
    crossed = -(images * rebuilt.log() + (1 - images) * (1 - rebuilt).log()).sum((1, 2, 3)).mean()
    torch.testing.assert_close(entropic.loss(batch)[0]["reconstruction"], crossed)


def test_noise_is_on_what_is_shown_and_not_on_what_is_asked_for():
    system, batch = build("denoising-autoencoder", masking=0.4), batch_of(400)
    shown = []
    system.network.encode = lambda x: shown.append(x) or torch.zeros(len(x), 3)
    terms, _ = system.loss(batch)
    images = (batch["image"] + 1) / 2
    zeros = shown[0] == 0
    assert zeros.float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert (shown[0] - images)[~zeros].std().item() == pytest.approx(0.3, abs=0.01)
    rebuilt = torch.sigmoid(system.network.decode(torch.zeros(1, 3)))
    torch.testing.assert_close(terms["reconstruction"], ((images - rebuilt) ** 2).sum((1, 2, 3)).mean())


def test_tied_halves_share_one_matrix():
    system = build(tied=True)
    free = build()
    weights = sum(level.up.weight.numel() for level in free.network.levels)
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in system.parameters()) == weights
    level = system.network.levels[1]
    h = torch.randn(2, 8)
    torch.testing.assert_close(level.decode(h), h @ level.up.weight + level.down.bias)


def test_layers_are_trained_one_by_one_and_then_together():
    system = build(pretraining=0.6)
    phases = system.game()
    assert [phase.name for phase in phases] == ["layer 1", "layer 2", "layer 3", "autoencoder"]
    assert [phase.during for phase in phases] == [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 1.0)] or np.allclose(
        [phase.during for phase in phases], [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 1.0)]
    )
    batch = batch_of()
    for level, phase in enumerate(phases[:3]):
        system.zero_grad()
        sum(phase.loss(batch).values()).backward()
        moved = [any(p.grad is not None and p.grad.any() for p in each.parameters()) for each in system.network.levels]
        assert moved == [each == level for each in range(3)]


def test_latents_are_codes_that_were_seen():
    system, batch = build(), batch_of(10)
    _, notes = system.loss(batch)
    system.remember(notes)
    drawn = system.latents(50, rng=torch.Generator().manual_seed(0))
    distance = (drawn[:, None] - notes["codes"]).abs().amax(2).amin(1)
    assert drawn.shape == (50, 3)
    assert distance.max() == 0


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        ("autoencoder", {"pretraining": 1.0}, "--pretraining is a share"),
        ("autoencoder", {"latent_dim": 0}, "count from 1"),
        ("denoising-autoencoder", {"masking": 1.0}, "--masking is a share"),
        ("sparse-autoencoder", {"sparse": 0.0}, "without it there is autoencoder"),
    ],
)
def test_values_out_of_range_are_one_line(recipe: str, arguments: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        build(recipe, **arguments)


def test_a_code_of_eight_numbers_beats_that_of_principal_components(tmp_path: Path):
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    images = load_digits().images.reshape(-1, 64) / 16
    train, test = images[:1400], images[1400:]
    np.savez(
        tmp_path / "digits.npz",
        x_train=np.rint(255 * train.reshape(-1, 8, 8)).astype(np.uint8),
        x_test=np.rint(255 * test.reshape(-1, 8, 8)).astype(np.uint8),
    )
    linear = PCA(8).fit(train)
    by_pca = ((linear.inverse_transform(linear.transform(test)) - test) ** 2).sum(1).mean()
    options: dict[str, Any] = {**QUIET, "units": (256, 128), "latent_dim": 8, "learning_rate": 2e-3}
    run = kallima.train(
        "autoencoder", data=tmp_path / "digits.npz", steps=1500, batch_size=64, out=tmp_path / "run", **options
    )
    model: Any = kallima.load(run, device="cpu")
    shown = torch.from_numpy(2 * test.reshape(-1, 1, 8, 8) - 1).float()
    error = ((model.reconstruct(shown) - shown) / 2).square().sum((1, 2, 3)).mean().item()
    assert by_pca == pytest.approx(1.6, abs=0.1)
    assert error < 0.7 * by_pca
