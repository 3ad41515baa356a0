"""Modes by a classifier, MMD and its permutation test, Wasserstein distances: closed forms and brute force."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from kallima.errors import DataError
from kallima.evaluation.gaussian_mmd import mmd, permutation_p
from kallima.evaluation.modes import by_channel, histogram_kl, modes_by_classifier
from kallima.evaluation.points import scaled_mmd
from kallima.evaluation.wasserstein import wasserstein


def normal(count: int, width: int, seed: int, mean: float = 0.0) -> np.ndarray:
    return mean + np.random.default_rng(seed).standard_normal((count, width))


class TestModes:
    def test_a_perfect_sampler_of_stacked_mnist(self) -> None:
        rng = np.random.default_rng(0)
        values, spreads = [], []
        for _ in range(60):
            counted = modes_by_classifier(rng.integers(1000, size=26_000), lambda x: x, 1000)
            assert counted.captured.value == 1000
            values.append(counted.reverse_kl.value)
            spreads.append(counted.reverse_kl.spread)
        # the reference table: .0194 ± .0009
        assert np.mean(values) == pytest.approx(0.0194, abs=3 * 0.0009 / math.sqrt(60))
        assert np.std(values) == pytest.approx(0.0009, rel=0.3)
        assert np.mean(spreads) == pytest.approx(np.std(values), rel=0.5)

    def test_channels_are_the_figures_of_the_mode(self) -> None:
        digits = np.array([[3, 0, 7], [9, 9, 9], [0, 0, 0], [3, 0, 7]])
        images = np.broadcast_to(digits[:, None, None, :], (4, 2, 2, 3)).astype(np.uint8)
        seen = []

        def classify(x: np.ndarray) -> np.ndarray:
            seen.append(x.shape)
            return x[:, 0, 0, 0]

        assert by_channel(classify)(images).tolist() == [307, 999, 0, 307]
        assert set(seen) == {(4, 2, 2, 1)}
        counted = modes_by_classifier(images, by_channel(classify), 1000)
        assert counted.captured.value == 3
        expected = 0.5 * math.log(500) + 0.5 * math.log(250)
        assert counted.reverse_kl.value == pytest.approx(expected, rel=1e-12)

    def test_blocks_and_order_are_nothing(self) -> None:
        labels = np.random.default_rng(1).integers(7, size=2_345)
        shuffled = np.random.default_rng(2).permutation(labels)
        whole = modes_by_classifier(labels, lambda x: torch.from_numpy(x), 7)
        assert modes_by_classifier(shuffled, lambda x: x, 7) == whole

    def test_the_error_is_that_of_deleting_each(self) -> None:
        labels = np.random.default_rng(1).integers(5, size=30)
        replicates = [histogram_kl(np.delete(labels, i), 5).value for i in range(30)]
        assert histogram_kl(labels, 5).spread == pytest.approx(math.sqrt(29 * np.var(replicates)), rel=1e-9)

    @pytest.mark.parametrize(
        ("classify", "message"),
        [
            (lambda x: x + 5, "gave classes 5 to 7: modes are 0 to 2"),
            (lambda x: x / 2, "needs to give whole numbers"),
            (lambda x: x[:-1], "there are 2 classes for 3 examples"),
        ],
    )
    def test_classifiers_that_are_refused(self, classify, message: str) -> None:
        with pytest.raises(DataError, match=message):
            modes_by_classifier(np.arange(3), classify, 3)
        with pytest.raises(DataError, match="no examples"):
            modes_by_classifier(np.arange(0), lambda x: x, 3)


class TestMmd:
    def test_closed_form_of_two_gaussians(self) -> None:
        # E k between N(0, 1) and N(a, 1) in D dimensions: (σ²/(σ²+2))^(D/2) exp(−D a²/(2(σ²+2)))
        width, shift, sigma = 3, 0.7, 1.5
        plain = (sigma**2 / (sigma**2 + 2)) ** (width / 2)
        truth = 2 * plain * (1 - math.exp(-width * shift**2 / (2 * (sigma**2 + 2))))
        measure = mmd(normal(3000, width, 1), normal(2500, width, 2, shift), bandwidth=sigma, permutations=9)
        assert measure.spread is not None
        assert measure.value == pytest.approx(truth, abs=4 * measure.spread)
        assert measure.spread < truth / 10

    def test_brute_force(self) -> None:
        x, y = normal(5, 2, 1), normal(4, 2, 2)
        k = lambda a, b: math.exp(-((a - b) ** 2).sum() / (2 * 0.8**2))  # noqa: E731
        xx = np.mean([k(a, b) for a, b in itertools.permutations(x, 2)])
        yy = np.mean([k(a, b) for a, b in itertools.permutations(y, 2)])
        xy = np.mean([k(a, b) for a in x for b in y])
        assert mmd(x, y, bandwidth=0.8, permutations=9).value == pytest.approx(xx + yy - 2 * xy, rel=1e-12)

    def test_p_is_that_of_all_the_ways_to_deal_out(self) -> None:
        x, y = normal(5, 1, 3), normal(3, 1, 4, 1.0)  # of unlike sizes all three sums matter
        pooled = np.concatenate([x, y])

        def value(chosen: tuple[int, ...]) -> float:
            others = [i for i in range(8) if i not in chosen]
            return mmd(pooled[list(chosen)], pooled[others], bandwidth=1.0, permutations=1).value

        every = [value(chosen) for chosen in itertools.combinations(range(8), 5)]
        truth = np.mean(np.array(every) >= value((0, 1, 2, 3, 4)) - 1e-12)
        assert permutation_p(x, y, bandwidth=1.0, permutations=20_000) == pytest.approx(truth, abs=0.01)

    def test_p_is_uniform_where_nothing_differs_and_small_where_it_does(self) -> None:
        null = [permutation_p(normal(20, 2, 2 * i), normal(25, 2, 2 * i + 1), permutations=99) for i in range(300)]
        assert scipy.stats.kstest(null, "uniform").pvalue > 0.01
        assert np.mean(np.array(null) <= 0.05) == pytest.approx(0.05, abs=3.5 * math.sqrt(0.05 * 0.95 / 300))
        assert permutation_p(normal(100, 2, 1), normal(100, 2, 2, 1.0)) == 0.001

    def test_p_is_in_the_receipt(self) -> None:
        x, y = normal(50, 2, 1), normal(40, 2, 2)
        notes = mmd(x, y, permutations=99).notes
        assert notes[0] == f"permutation test: p = {permutation_p(x, y, permutations=99):.3g} over 99 permutations"
        assert "the median distance" in notes[1]
        assert "of 1,000 and 5 examples" in mmd(normal(1001, 1, 0), normal(5, 1, 1), permutations=9).notes[0]

    def test_order_is_nothing(self) -> None:
        x, y = normal(1100, 2, 1), normal(60, 2, 2)
        assert mmd(np.random.default_rng(0).permutation(x), y[::-1]) == mmd(x, y)

    def test_units_are_nothing_once_scaled(self) -> None:
        x, y = normal(50, 2, 1), normal(60, 2, 2, 0.5)
        units = np.array([1e-3, 1e4])
        assert scaled_mmd(x * units, y * units).value == pytest.approx(scaled_mmd(x, y).value, rel=1e-6)

    def test_sets_that_never_vary(self) -> None:
        same = np.ones((5, 2))
        assert mmd(same, same).value == 0
        assert permutation_p(same, same) == 1
        assert mmd(same, same + 1, bandwidth=1.0).value == pytest.approx(2 - 2 * math.exp(-1))

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            (np.ones((0, 2)), np.ones((3, 2)), "there are 0 real points"),
            (np.ones((3, 2)), np.ones((1, 2)), "there are 1 generated points: this needs 2"),
            (np.ones((3, 2)), np.ones((3, 1)), "have 2 dimensions, the generated ones 1"),
            (np.ones(3), np.ones((3, 1)), r"need to be numbers \(N, D\)"),
            (np.full((3, 1), math.nan), np.ones((3, 1)), "3 of 3 real points hold NaN"),
        ],
    )
    def test_points_that_are_refused(self, x: np.ndarray, y: np.ndarray, message: str) -> None:
        with pytest.raises(DataError, match=message):
            mmd(x, y)
        if len(y) > 1:
            with pytest.raises(DataError, match=message):
                wasserstein(x, y)

    def test_bandwidths_that_are_none(self) -> None:
        with pytest.raises(DataError, match=r"a bandwidth of 0\.0 is none"):
            mmd(normal(3, 1, 1), normal(3, 1, 2), bandwidth=0.0)


class TestWasserstein:
    def test_a_shift_in_one_dimension(self) -> None:
        x = normal(333, 1, 1)
        measure = wasserstein(x, x + 2.5)
        assert measure.value == pytest.approx(2.5, rel=1e-12)

    def test_one_dimension_against_scipy(self) -> None:
        x, y = normal(50, 1, 1), normal(31, 1, 2, 0.3)
        expected = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])
        assert wasserstein(x, y).value == pytest.approx(expected, rel=1e-12)

    def test_ways_of_solving_agree(self) -> None:
        # on a line in the plane the transport problem is the one of one dimension
        line = lambda x: np.concatenate([0.6 * x, 0.8 * x], 1)  # noqa: E731
        for count in (40, 31):
            x, y = normal(40, 1, 1), normal(count, 1, 2, 0.5)
            measure = wasserstein(line(x), line(y))
            assert measure.value == pytest.approx(wasserstein(x, y).value, rel=1e-9)
            assert measure.notes[0] == ("by an optimal matching" if count == 40 else "by a linear programme")

    def test_brute_force_over_all_matchings(self) -> None:
        x, y = normal(6, 3, 1), normal(6, 3, 2)
        every = [np.linalg.norm(x - y[list(order)], axis=1).mean() for order in itertools.permutations(range(6))]
        assert wasserstein(x, y).value == pytest.approx(min(every), rel=1e-12)

    def test_unlike_sizes_are_the_matching_of_copies(self) -> None:
        x, y = normal(6, 2, 1), normal(4, 2, 2)
        copies = wasserstein(np.repeat(x, 2, 0), np.repeat(y, 3, 0)).value
        assert wasserstein(x, y).value == pytest.approx(copies, rel=1e-9)

    @pytest.mark.parametrize("width", [1, 2])
    def test_spread_is_that_of_fresh_draws(self, width: int) -> None:
        draws = [wasserstein(normal(120, width, 2 * i), normal(120, width, 2 * i + 1, 1.0)) for i in range(30)]
        actual = np.std([draw.value for draw in draws])
        assert np.mean([draw.spread for draw in draws]) == pytest.approx(actual, rel=0.35)
        assert draws[0].spread_method == "jackknife over 10 folds"

    def test_large_sets_are_matched_in_part(self) -> None:
        measure = wasserstein(normal(1300, 2, 1), normal(1200, 2, 2))
        assert measure.notes[0] == "by an optimal matching of 1,000 drawn from each set"
        assert measure.notes[1].startswith("two draws of 650 real points each lie ")
        assert measure.value < 0.2

    def test_order_is_nothing(self) -> None:
        x, y = normal(250, 2, 1), normal(130, 2, 2)
        assert wasserstein(x[::-1], np.random.default_rng(0).permutation(y)) == wasserstein(x, y)

    def test_a_set_against_itself(self) -> None:
        assert wasserstein(normal(100, 2, 1), normal(100, 2, 1)).value == 0
        assert wasserstein(np.ones((1, 2)), np.ones((3, 2))).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("measure", [lambda x, y: mmd(x, y, permutations=9), wasserstein])
def test_more_noise_is_worse(measure) -> None:
    real, fresh, noise = normal(300, 2, 1), normal(300, 2, 2), normal(300, 2, 3)
    ladder = [measure(real, fresh + level * noise).value for level in (0.3, 1, 4)]
    assert ladder == sorted(ladder)
    assert ladder[0] < ladder[2] / 2
