"""Vector quantisation: nearest codes, the straight way of gradients, a codebook that follows, and learning."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import DataError, UsageError
from kallima.layers.quantiser import Quantiser
from kallima.recipe import get_recipe
from tests.test_learning import QUIET

SPEC = Spec({"image": Image(1, 8, 8)})


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    return get_recipe("vq-vae").build(SPEC, **{"width": 8, "codes": 12, "dimensions": 4, **arguments})


def test_each_vector_gets_the_nearest_code():
    torch.manual_seed(0)
    quantiser, vectors = Quantiser(9, 3), torch.randn(50, 3)
    found = quantiser(vectors)
    by_hand = torch.cdist(vectors, quantiser.codes)
    assert torch.equal(found.indices, by_hand.argmin(1))
    torch.testing.assert_close(found.vectors, quantiser.codes[found.indices])
    torch.testing.assert_close(found.distances, by_hand.amin(1).square())


def test_gradients_pass_straight_through_and_commitment_pulls_to_the_code():
    torch.manual_seed(0)
    quantiser, vectors = Quantiser(5, 3), torch.randn(6, 3, requires_grad=True)
    found = quantiser(vectors)
    weight = torch.randn(6, 3)
    (gradient,) = torch.autograd.grad((found.vectors * weight).sum(), vectors)
    torch.testing.assert_close(gradient, weight)
    (gradient,) = torch.autograd.grad(quantiser(vectors).distances.sum(), vectors)
    torch.testing.assert_close(gradient, 2 * (vectors - quantiser.codes[found.indices]).detach())


def test_codes_go_to_the_means_of_what_they_stand_for():
    torch.manual_seed(0)
    quantiser = Quantiser(3, 2, decay=0.8, least=0.0)
    means = torch.tensor([[5.0, 0.0], [-5.0, 1.0], [0.0, -6.0]])
    indices = torch.arange(3).repeat_interleave(40)
    for _ in range(60):
        quantiser.follow(means[indices] + 0.01 * torch.randn(120, 2), indices)
    torch.testing.assert_close(quantiser.codes, means, atol=0.02, rtol=0)
    torch.testing.assert_close(quantiser.counts, torch.full((3,), 40.0), atol=0.01, rtol=0)
    once = Quantiser(3, 2, decay=0.8, least=0.0)
    before = once.sums.clone()
    once.follow(means[indices], indices)
    torch.testing.assert_close(once.sums, 0.8 * before + 0.2 * 40 * means)


def test_idle_codes_are_put_on_vectors_of_the_batch_and_busy_ones_stay():
    torch.manual_seed(0)
    quantiser, vectors = Quantiser(4, 2, decay=0.5, least=0.6), torch.randn(8, 2)
    quantiser.follow(vectors, torch.zeros(8, dtype=torch.int64))
    busy, *idle = quantiser.codes
    assert all((vectors == code).all(1).any() for code in idle)
    assert not (vectors == busy).all(1).any()
    assert quantiser.counts[1:].tolist() == [1, 1, 1]


def test_the_loss_is_the_error_and_what_strays():
    system, images = build(commitment=0.5), torch.rand(3, 1, 8, 8) * 2 - 1
    terms, notes = system.loss(Batch({"image": images}))
    features = system.encoder(images)
    codes = system.quantiser.lookup(system.words(images)).movedim(3, 1)
    torch.testing.assert_close(terms["commitment"], 0.5 * (features - codes).square().flatten(1).sum(1).mean())
    log_p = system.likelihood.log_probability(system.decoder(codes), images).mean()
    torch.testing.assert_close(terms["reconstruction"], -log_p)
    share = torch.bincount(system.words(images).flatten(), minlength=12) / 12
    entropy = torch.distributions.Categorical(probs=share).entropy()
    torch.testing.assert_close(notes["perplexity"], entropy.exp())
    assert system.words(images).shape == (3, 2, 2)
    torch.testing.assert_close(system.reconstruct(images), system.likelihood.mean(system.decoder(codes)))


def test_sizes_and_numbers_that_do_not_go_are_one_line():
    with pytest.raises(DataError, match="cannot be halved twice: give --size 8"):
        get_recipe("vq-vae").build(Spec({"image": Image(1, 10, 10)}))
    with pytest.raises(UsageError, match="--codes"):
        build(codes=1)


def test_four_words_tell_more_of_a_digit_than_its_two_best_principal_components(tmp_path: Path):
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    images = load_digits().images / 16
    flat = images.reshape(-1, 64)
    linear = PCA(2).fit(flat)
    by_pca = ((linear.inverse_transform(linear.transform(flat)) - flat) ** 2).mean()
    options: dict[str, Any] = {**QUIET, "width": 32, "codes": 64, "dimensions": 8, "learning_rate": 2e-3}
    run = kallima.train("vq-vae", data="digits", steps=400, batch_size=64, out=tmp_path / "run", **options)
    model: Any = kallima.load(run, device="cpu")
    shown = torch.from_numpy((2 * images - 1).astype(np.float32))[:, None]
    error = ((model.reconstruct(shown) - shown) / 2).square().mean().item()
    assert len(model.words(shown).unique()) > 32
    assert error < 0.8 * by_pca


def test_the_bound_is_the_likelihood_at_the_words_and_what_the_prior_says_of_them():
    system, images = build(), torch.rand(3, 1, 8, 8) * 2 - 1
    words = system.words(images)
    decoded = system.decoder(system.quantiser.lookup(words).movedim(3, 1))
    expected = system.likelihood.log_probability(decoded, images) + system.log_prior(words.flatten(1))
    torch.testing.assert_close(system.log_weights_of(Batch({"image": images}), 5), expected[None].detach())


def test_the_prior_of_all_maps_sums_to_one_and_samples_follow_it():
    system = build(codes=3)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    likely = system.log_prior(every).exp()
    assert likely.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = system._read(system.prior.sample(20_000, rng=torch.Generator().manual_seed(1))).flatten(1)
    numbers = (drawn * torch.tensor([27, 9, 3, 1])).sum(1)
    torch.testing.assert_close(torch.bincount(numbers, minlength=81) / 20_000, likely.detach(), atol=0.01, rtol=0)


def test_the_first_part_finds_the_codes_and_the_rest_their_law():
    system = build(autoencoding=0.25)
    autoencoder, prior = system.game()
    assert [autoencoder.has_turn(0, progress) for progress in (0.0, 0.24, 0.25, 1.0)] == [True, True, False, False]
    assert [prior.has_turn(0, progress) for progress in (0.0, 0.24, 0.25, 1.0)] == [False, False, True, True]


def test_samples_are_like_the_data_only_once_the_prior_has_learned(tmp_path: Path):
    rng = np.random.default_rng(0)
    patterns = np.zeros((4, 8, 8), np.uint8)
    patterns[0, :4], patterns[1, 4:], patterns[2, :, :4], patterns[3, :, 4:] = 255, 255, 255, 255
    kinds = rng.choice(4, 512, p=[0.55, 0.15, 0.15, 0.15])
    np.savez(tmp_path / "x.npz", x=patterns[kinds])
    shares = {}
    for name, autoencoding in (("learned", 0.3), ("never", 1.0)):
        run = kallima.train(
            "vq-vae",
            data=tmp_path / "x.npz",
            steps=1000 if autoencoding < 1 else 300,
            batch_size=32,
            out=tmp_path / name,
            codes=8,
            width=8,
            dimensions=4,
            learning_rate=5e-3,
            autoencoding=autoencoding,
            prior_width=12,
            prior_depth=2,
            **QUIET,
        )
        samples = kallima.sample(run, 400).reshape(400, -1).astype(float)
        distance = np.abs(samples[:, None] - patterns.reshape(4, -1)[None]).mean(-1)
        near = distance.min(1) < 25
        shares[name] = np.bincount(distance.argmin(1)[near], minlength=4) / 400
    assert shares["learned"].sum() > 0.9
    assert np.abs(shares["learned"] - [0.55, 0.15, 0.15, 0.15]).max() < 0.1
    assert shares["never"].sum() < 0.4
