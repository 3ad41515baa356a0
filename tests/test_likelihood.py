"""Parzen windows, importance-weighted bounds and bits per dimension against closed forms and direct sums."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kallima.errors import DataError, UsageError
from kallima.evaluation.likelihood.bits import bits_per_dim
from kallima.evaluation.likelihood.bound import importance_weighted_bound
from kallima.evaluation.likelihood.parzen import parzen, parzen_log_density


def normal(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class TestParzen:
    @pytest.mark.parametrize("sigma", [0.1, 2.0])
    def test_direct_sum(self, sigma: float) -> None:
        samples, points = normal(30, 3, seed=1), normal(5, 3, seed=2)
        direct = [
            math.log(
                sum(math.exp(-((x - s) ** 2).sum() / (2 * sigma**2)) / (2 * math.pi * sigma**2) ** 1.5 for s in samples)
                / 30
            )
            for x in points
        ]
        assert parzen_log_density(samples, points, sigma) == pytest.approx(direct, rel=1e-10)

    def test_one_window_is_a_gaussian_however_narrow(self) -> None:
        # 784 dimensions: exp underflows, its logarithm must not
        at = parzen_log_density(np.zeros((1, 784)), np.full((2, 784), 0.5), 0.01)
        assert at == pytest.approx(-784 / 2 * math.log(2 * math.pi * 1e-4) - 784 * 0.25 / 2e-4, rel=1e-12)

    def test_many_windows_reach_the_smoothed_density(self) -> None:
        # windows at draws of N(0, 1) become N(0, 1 + σ²)
        points = np.linspace(-2, 2, 9)[:, None]
        truth = -0.5 * math.log(2 * math.pi * 1.09) - points[:, 0] ** 2 / (2 * 1.09)
        gaps = [np.abs(parzen_log_density(normal(n, 1, seed=3), points, 0.3) - truth).max() for n in (100, 100_000)]
        assert gaps[1] < 0.02 < gaps[0]

    def test_sigma_is_the_one_of_validation(self) -> None:
        samples, validation, test = normal(300, 2, seed=1), normal(200, 2, seed=2), normal(400, 2, seed=3)
        measure = parzen(samples, test, validation, sigmas=[0.01, 0.1, 0.4, 0.5, 3.0])
        fits = {s: parzen_log_density(samples, validation, s).mean() for s in (0.01, 0.1, 0.4, 0.5, 3.0)}
        best = max(fits, key=fits.__getitem__)
        assert measure.notes[0] == f"σ = {best}, the best of 5 on 200 validation examples"
        values = parzen_log_density(samples, test, best)
        assert measure.value == pytest.approx(values.mean(), rel=1e-12)
        assert measure.spread == pytest.approx(values.std(ddof=1) / 20, rel=1e-12)
        assert measure.value < -(1 + math.log(2 * math.pi)) + 0.1  # less than the entropy allows

    def test_the_default_range_finds_it_whatever_the_units(self) -> None:
        sets = normal(400, 2, seed=1), normal(300, 2, seed=2), normal(300, 2, seed=3)
        plain, scaled = parzen(*sets), parzen(*(1000 * x for x in sets))
        assert len(plain.notes) == 2  # no word of the end of the range
        assert scaled.value == pytest.approx(plain.value - 2 * math.log(1000), rel=1e-9)

    def test_the_end_of_the_range_is_said(self) -> None:
        sets = normal(40, 2, seed=1), normal(30, 2, seed=2), normal(30, 2, seed=3)
        assert "at the end of its range" in parzen(*sets, sigmas=[2.0, 3.0]).notes[1]

    def test_blocks_order_and_form_are_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        samples, test, held = normal(50, 4, seed=1), normal(23, 4, seed=2), normal(21, 4, seed=3)
        whole = parzen(samples, test, held)
        assert parzen(samples[::-1], test[::-1], held[::-1]).value == pytest.approx(whole.value, rel=1e-12)
        assert parzen(*(x.reshape(-1, 2, 2) for x in (samples, test, held))) == whole
        monkeypatch.setattr("kallima.evaluation.likelihood.parzen._BLOCK", 7)
        assert parzen(samples, torch.from_numpy(test), held).value == pytest.approx(whole.value, rel=1e-12)

    def test_what_is_refused(self) -> None:
        good = normal(5, 2, seed=1)
        for sets, message in [
            ((good[:0], good, good), "there are 0 samples"),
            ((good, good[:, :1], good), r"\[1, 2\] numbers each"),
            ((good, good, good * math.nan), "5 of 5 validation examples hold NaN"),
        ]:
            with pytest.raises(DataError, match=message):
                parzen(*sets)
        with pytest.raises(DataError, match="every σ needs to be a number above 0"):
            parzen(good, good, good, sigmas=[0.0])
        with pytest.raises(DataError, match="σ is 0"):
            parzen_log_density(good, good, 0)


class TestBound:
    def test_the_exact_posterior_gives_log_p_with_any_number_of_draws(self) -> None:
        # z ~ N(0, 1), x | z ~ N(z, 1): p(x) = N(0, 2), p(z | x) = N(x/2, 1/2)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((50, 1)) * math.sqrt(2)
        z = x / 2 + math.sqrt(0.5) * rng.standard_normal((50, 8))
        log = lambda v, mean, variance: -0.5 * np.log(2 * np.pi * variance) - (v - mean) ** 2 / (2 * variance)  # noqa: E731
        weights = log(z, 0, 1) + log(x, z, 1) - log(z, x / 2, 0.5)
        truth = log(x, 0, 2).mean()
        for k in (1, 4, 8):
            measure = importance_weighted_bound(weights, samples=k)
            assert measure.value == pytest.approx(truth, rel=1e-12)
        assert measure.notes[1] == "effective sample size 8 of 8"
        # and the prior as q stays below it
        prior = log(x, rng.standard_normal((50, 5000)), 1)
        bounds = [importance_weighted_bound(prior, samples=k).value for k in (1, 10, 5000)]
        assert bounds[0] < bounds[1] < bounds[2] < truth + 0.02
        assert bounds[0] == pytest.approx((-0.5 * math.log(2 * math.pi) - (x**2 + 1) / 2).mean(), abs=0.05)
        assert bounds[2] == pytest.approx(truth, abs=0.02)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.lists(st.floats(-50, 50), min_size=12, max_size=12), min_size=1, max_size=4))
    def test_more_draws_never_lower_it(self, rows: list[list[float]]) -> None:
        weights = np.array(rows)
        bounds = [importance_weighted_bound(weights, samples=k).value for k in (1, 2, 6, 12)]
        assert all(a <= b + 1e-9 for a, b in itertools.pairwise(bounds))

    def test_by_hand(self) -> None:
        weights = np.log([[1.0, 3.0], [2.0, 2.0]])
        measure = importance_weighted_bound(torch.from_numpy(weights))
        assert measure.value == pytest.approx(math.log(2), rel=1e-12)
        assert measure.spread == pytest.approx(0, abs=1e-12)
        assert measure.notes == (
            "a lower bound on log p(x), k = 2 importance samples",
            f"effective sample size {(16 / 10 + 2) / 2:.3g} of 2",
        )
        assert importance_weighted_bound(weights, samples=1).value == pytest.approx(math.log(12) / 4, rel=1e-12)
        assert importance_weighted_bound(weights - 5000).value == pytest.approx(math.log(2) - 5000, rel=1e-12)
        assert importance_weighted_bound(np.array([[-math.inf, 0.0]])).value == pytest.approx(-math.log(2))

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.zeros(3), r"need to be numbers \(N, k\)"),
            (np.zeros((0, 3)), r"need to be numbers \(N, k\)"),
            (np.array([[math.nan, 0]]), "the model has diverged"),
            (np.array([[math.inf, 0]]), "the model has diverged"),
            (np.full((1, 2), -math.inf), "the bound is −∞"),
        ],
    )
    def test_weights_that_are_refused(self, weights: np.ndarray, message: str) -> None:
        with pytest.raises(DataError, match=message):
            importance_weighted_bound(weights)
        with pytest.raises(DataError, match="7 draws an example are not made of groups of 2"):
            importance_weighted_bound(np.zeros((3, 7)), samples=2)


class TestBitsPerDim:
    def test_a_uniform_8_bit_image_takes_8_bits(self) -> None:
        size = 28 * 28
        for span in (1.0, 2.0, 256.0):
            density = np.full(4, -size * math.log(span))
            measure = bits_per_dim(density, size, dequantisation="uniform", span=span)
            assert measure.value == pytest.approx(8, rel=1e-12)
            assert measure.spread == 0
            assert measure.notes == (f"uniform dequantisation, 256 levels over a range of {span:g}: an upper bound",)
        assert bits_per_dim([-size * math.log(256)], size, dequantisation="none").value == pytest.approx(8)
        assert bits_per_dim([0.0], 10, dequantisation="variational", levels=32).value == pytest.approx(5)

    def test_a_density_made_of_probabilities_gives_their_entropy(self) -> None:
        # a density constant on every bin: dequantised or not, the same bits
        shares = np.array([0.5, 0.25, 0.125, 0.125])
        values = np.random.default_rng(0).choice(4, size=1000, p=shares)
        whole = bits_per_dim(np.log(shares[values]), 1, dequantisation="none")
        dense = bits_per_dim(np.log(4 * shares[values]), 1, dequantisation="uniform", levels=4)
        assert dense.value == pytest.approx(whole.value, rel=1e-12)
        assert whole.value == pytest.approx(1.75, abs=4 * whole.spread)

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="1 of 2 log-likelihoods hold NaN or infinity"):
            bits_per_dim([0.0, -math.inf], 3, dequantisation="none")
        with pytest.raises(UsageError, match="no dequantisation 'gauss'; there are none, uniform, variational"):
            bits_per_dim([0.0], 3, dequantisation="gauss")
        with pytest.raises(UsageError, match="0 dimensions"):
            bits_per_dim([0.0], 0, dequantisation="none")
