"""Every metric against closed forms, brute force and invariances."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from kallima.evaluation.fid import Moments, fid, frechet_distance, frechet_distance_of_few
from kallima.evaluation.kid import kid, polynomial
from kallima.evaluation.mmd import squared_mmd
from kallima.evaluation.points import energy_distance, high_quality, log_density, modes_captured, reverse_kl
from kallima.evaluation.prdc import neighbourhoods

RING = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
GRID = np.stack(np.meshgrid(*[np.arange(-4.0, 5, 2)] * 2), -1).reshape(-1, 2)


def normal(count: int, width: int, seed: int, mean: float = 0, deviation: float = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(count, width, generator=rng)


def correlated(count: int, width: int, seed: int) -> Tensor:
    return normal(count, width, seed) @ normal(width, width, seed + 100) + normal(1, width, seed + 200)


class TestFrechet:
    def test_gaussians_of_the_reference_table(self) -> None:
        # the truth is 64 (.5² + .5²) = 32; samples bias it up to about 32.34
        measure = fid(normal(10_000, 64, 1), normal(10_000, 64, 2, 0.5, 1.5))
        assert measure.value == pytest.approx(32.34, abs=0.6)
        assert measure.spread is not None
        assert 0.05 < measure.spread < 0.5

    @pytest.mark.parametrize(("count", "bias"), [(1_000, 2.16), (10_000, 0.22)])
    def test_bias_of_equal_distributions(self, count: int, bias: float) -> None:
        assert fid(normal(count, 64, 1), normal(count, 64, 2)).value == pytest.approx(bias, rel=0.06)

    def test_exact_moments_give_the_exact_distance(self) -> None:
        first = Moments(2, torch.zeros(64).double(), torch.eye(64).double())
        second = Moments(2, torch.full((64,), 0.5).double(), 2.25 * torch.eye(64).double())
        assert frechet_distance(first, second) == pytest.approx(32, rel=1e-12)

    @pytest.mark.parametrize("counts", [(200, 300), (40, 300), (30, 20)])
    def test_forms_agree_with_each_other_and_with_scipy(self, counts: tuple[int, int]) -> None:
        x, y = correlated(counts[0], 24, 1), correlated(counts[1], 24, 2)
        a, b = np.cov(x.double().numpy().T), np.cov(y.double().numpy().T)
        gap = (x.double().mean(0) - y.double().mean(0)).square().sum().item()
        oracle = gap + np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b)).real
        assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(oracle, rel=1e-6)
        assert frechet_distance_of_few(x, y) == pytest.approx(oracle, rel=1e-6)

    def test_dead_features_are_no_trouble(self) -> None:
        x, y = correlated(300, 10, 1), correlated(200, 10, 2)
        dead = torch.zeros(1, 4)
        padded = [torch.cat([z, dead.expand(len(z), -1)], 1) for z in (x, y)]
        assert fid(*padded).value == pytest.approx(fid(x, y).value, rel=1e-6)

    def test_few_examples_are_said_to_be_few(self) -> None:
        measure = fid(correlated(30, 64, 1), correlated(50, 64, 2))
        assert measure.notes == ("64 features but 30 examples: FID is biased up",)
        assert measure.value == pytest.approx(
            frechet_distance(Moments.of(correlated(30, 64, 1)), Moments.of(correlated(50, 64, 2))), rel=1e-6
        )
        assert fid(correlated(65, 64, 1), correlated(65, 64, 2)).notes == ()

    def test_moments_are_those_of_numpy_far_from_zero(self) -> None:
        x = normal(9_001, 5, 3) + 1e4
        moments = Moments.of(x)
        assert np.allclose(moments.mean, x.double().mean(0), rtol=1e-13)
        assert np.allclose(moments.covariance, np.cov(x.double().numpy().T), rtol=1e-9, atol=1e-12)

    def test_spread_is_that_of_fresh_draws(self) -> None:
        draws = [fid(normal(500, 8, 2 * i), normal(500, 8, 2 * i + 1, 0.5)) for i in range(40)]
        actual = np.std([draw.value for draw in draws])
        assert np.mean([draw.spread for draw in draws]) == pytest.approx(actual, rel=0.3)

    def test_sets_that_never_vary(self) -> None:
        measure = fid(torch.zeros(50, 4), torch.ones(50, 4))
        assert measure.value == pytest.approx(4)
        assert measure.spread == 0

    def test_two_examples_are_enough(self) -> None:
        measure = fid(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
        assert measure.value == pytest.approx(1)
        assert measure.spread is None


class TestKernelDistance:
    def test_brute_force(self) -> None:
        x, y = normal(7, 3, 1).double(), normal(5, 3, 2, 0.3).double()
        k = lambda a, b: ((a @ b).item() / 3 + 1) ** 3  # noqa: E731
        xx = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
        yy = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
        xy = sum(k(a, b) for a in x for b in y) / 35
        assert kid(x, y).value == pytest.approx(xx + yy - 2 * xy, rel=1e-12)

    def test_jackknife_is_the_one_that_deletes_and_recomputes(self) -> None:
        x, y = normal(9, 4, 1), normal(6, 4, 2, 0.4)
        every = lambda n, i: torch.arange(n) != i  # noqa: E731
        without_x = torch.tensor([squared_mmd(x[every(9, i)], y, polynomial)[0] for i in range(9)])
        without_y = torch.tensor([squared_mmd(x, y[every(6, i)], polynomial)[0] for i in range(6)])
        expected = 8 * without_x.var(correction=0) + 5 * without_y.var(correction=0)
        spread = squared_mmd(x, y, polynomial)[1]
        assert spread == pytest.approx(math.sqrt(expected), rel=1e-5)

    def test_reference_values(self) -> None:
        nulls = [kid(normal(1_000, 64, 2 * i), normal(1_000, 64, 2 * i + 1)).value for i in range(20)]
        assert np.mean(nulls) == pytest.approx(0.0001, abs=4 * 0.0011 / math.sqrt(20))
        shifts = [kid(normal(1_000, 64, 2 * i), normal(1_000, 64, 2 * i + 1, 0.5)).value for i in range(10)]
        # E k between two draws of the shifted Gaussian, of the plain one, and across, in closed form
        s = torch.full((64,), 0.5).double()
        dot = s @ s / 64
        variance = 1 / 64 + 2 * dot / 64  # of x·y/d for two shifted draws
        shifted = (dot + 1) ** 3 + 3 * (dot + 1) * variance + 6 * dot / 64**2  # plus E of the centred cube
        plain = 1 + 3 / 64
        across = 1 + 3 * (1 / 64 + dot / 64)
        truth = (shifted + plain - 2 * across).item()
        assert truth == pytest.approx(0.967, abs=0.006)  # the table's figure is known to .003
        assert np.mean(shifts) == pytest.approx(truth, abs=0.03)

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, y = normal(50, 4, 1), normal(33, 4, 2)
        whole = squared_mmd(x, y, polynomial)
        monkeypatch.setattr("kallima.evaluation.mmd.BLOCK", 7)
        assert squared_mmd(x, y, polynomial) == pytest.approx(whole, rel=1e-10)

    def test_two_examples_have_no_spread(self) -> None:
        assert kid(normal(2, 4, 1), normal(9, 4, 2)).spread is None


def by_hand(real: Tensor, generated: Tensor, near: int, far: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage with nothing but loops."""
    real_list, generated_list = real.double().tolist(), generated.double().tolist()

    def radius(points: list[list[float]], i: int, k: int) -> float:
        return sorted(math.dist(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]

    def in_ball(point: list[float], points: list[list[float]], i: int, k: int) -> bool:
        return math.dist(point, points[i]) <= radius(points, i, k)

    n, m = len(real_list), len(generated_list)
    precision = sum(any(in_ball(g, real_list, i, near) for i in range(n)) for g in generated_list) / m
    recall = sum(any(in_ball(r, generated_list, j, near) for j in range(m)) for r in real_list) / n
    density = sum(in_ball(g, real_list, i, far) for g in generated_list for i in range(n)) / (far * m)
    coverage = sum(any(in_ball(g, real_list, i, far) for g in generated_list) for i in range(n)) / n
    return precision, recall, density, coverage


def values(real: Tensor, generated: Tensor, **neighbours: int) -> tuple[float, float, float, float]:
    four = neighbourhoods(real, generated, **neighbours)
    return four.precision.value, four.recall.value, four.density.value, four.coverage.value


class TestNeighbourhoods:
    @pytest.mark.parametrize("seed", range(3))
    def test_brute_force(self, seed: int) -> None:
        real, generated = normal(23, 2, seed), normal(17, 2, seed + 10, 0.7, 0.8)
        assert values(real, generated) == pytest.approx(by_hand(real, generated, 3, 5), abs=1e-12)
        assert values(real, generated, precision_neighbours=1, density_neighbours=2) == pytest.approx(
            by_hand(real, generated, 1, 2), abs=1e-12
        )

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real, generated = normal(100, 3, 1), normal(73, 3, 2, 0.5)
        whole = neighbourhoods(real, generated)
        monkeypatch.setattr("kallima.evaluation.prdc.BLOCK", 9)
        assert neighbourhoods(real, generated) == whole

    def test_expected_coverage_of_equal_distributions(self) -> None:
        # Naeem et al. 2020, lemma 2; the reference table's .9688 is this at 10,000
        def expected(n: int) -> float:
            return 1 - math.prod((n - i) / (2 * n - i) for i in range(1, 6))

        assert expected(10_000) == pytest.approx(0.9688, abs=5e-5)
        four = [neighbourhoods(normal(1_000, 8, 2 * i), normal(1_000, 8, 2 * i + 1)) for i in range(8)]
        assert np.mean([x.coverage.value for x in four]) == pytest.approx(expected(1_000), abs=0.006)
        assert np.mean([x.density.value for x in four]) == pytest.approx(1, abs=0.03)
        assert four[0].coverage.spread == pytest.approx(math.sqrt(0.0311 * 0.9689 / 1_000), rel=0.3)

    def test_a_set_against_itself_in_another_order(self) -> None:
        real = normal(300, 20, 1)
        precision, recall, density, coverage = values(real, real[torch.randperm(300, generator=torch.Generator())])
        assert (precision, recall, coverage) == (1, 1, 1)
        assert density == pytest.approx(6 / 5)  # its k neighbours and the example itself

    def test_far_sets_share_nothing(self) -> None:
        assert values(normal(50, 4, 1), normal(50, 4, 2, 100)) == (0, 0, 0, 0)

    def test_collapse_keeps_precision_and_loses_recall(self) -> None:
        real = normal(500, 4, 1)
        precision, recall, _, coverage = values(real, real[:1] + 1e-3 * normal(500, 4, 2))
        assert precision == 1
        assert recall < 0.1
        assert coverage < 0.1

    def test_sets_that_never_vary_are_defined(self) -> None:
        # far from the origin, where products round; a float that is no power of two
        same, other = torch.full((20, 100), 1234.567), torch.full((20, 100), 1234.667)
        assert values(same, same) == (1, 1, 4, 1)
        assert values(same, other) == (0, 0, 0, 0)
        assert (
            "20 real examples have 5 exact copies: their balls are points" in neighbourhoods(same, same).density.notes
        )

    def test_neighbours_are_fewer_in_tiny_sets(self) -> None:
        real, generated = normal(3, 2, 1), normal(3, 2, 2)
        assert values(real, generated) == pytest.approx(by_hand(real, generated, 2, 2))
        assert neighbourhoods(real, generated).precision.notes == ("k = 2 nearest neighbours",)


class TestPoints:
    @pytest.mark.parametrize(("modes", "deviation", "divergence"), [(RING, 0.02, 0.0013), (GRID, 0.05, 0.0049)])
    def test_perfect_generators(self, modes: np.ndarray, deviation: float, divergence: float) -> None:
        # protocol P1: 2,500 points, 98.89 % of high quality
        rng = np.random.default_rng(0)
        shares, divergences, spreads = [], [], []
        for _ in range(100):
            points = modes[rng.integers(len(modes), size=2_500)] + deviation * rng.standard_normal((2_500, 2))
            assert modes_captured(points, modes, 3 * deviation).value == len(modes)
            quality, measure = high_quality(points, modes, 3 * deviation), reverse_kl(points, modes)
            assert quality.notes == ("a perfect generator has 98.89% of high quality",)
            shares.append(quality.value)
            divergences.append(measure.value)
            spreads.append(measure.spread)
        assert np.mean(shares) == pytest.approx(0.9889, abs=7e-4)
        assert np.mean(divergences) == pytest.approx(divergence, abs=2e-4)
        assert np.mean(spreads) == pytest.approx(np.std(divergences), rel=0.5)

    def test_collapse_onto_some_modes(self) -> None:
        points = np.repeat(RING[:2], [30, 10], axis=0)
        assert modes_captured(points, RING, 0.06).value == 2
        assert high_quality(points, RING, 0.06).value == 1
        expected = 0.75 * math.log(0.75 * 8) + 0.25 * math.log(0.25 * 8)
        assert reverse_kl(points, RING).value == pytest.approx(expected, rel=1e-12)
        assert reverse_kl(points[:30], RING).value == pytest.approx(math.log(8))

    def test_reverse_kl_jackknife_is_the_one_that_deletes(self) -> None:
        points = RING[np.random.default_rng(0).integers(8, size=40)]
        replicates = [reverse_kl(np.delete(points, i, 0), RING).value for i in range(40)]
        assert reverse_kl(points, RING).spread == pytest.approx(math.sqrt(39 * np.var(replicates)), rel=1e-9)

    def test_just_inside_and_outside_three_deviations(self) -> None:
        points = np.array([[2.0599, 0.0], [2.0601, 0.0]])
        assert high_quality(points, RING, 0.06).value == 0.5
        assert modes_captured(points[1:], RING, 0.06).value == 0

    def test_log_density_is_the_mean_over_the_generated(self) -> None:
        measure = log_density(lambda x: -x[:, 0], np.array([[1.0], [2.0], [6.0]]), np.array([[7.0], [9.0]]))
        assert measure.value == -3
        assert measure.spread == pytest.approx(math.sqrt(7 / 3))
        assert "-8" in measure.notes[0]

    def test_energy_distance_of_shifted_gaussians(self) -> None:
        # E|x − y| of N(0, 1) and N(2, 1) is 2φ(√2)√2 + 2(2Φ(√2) − 1); of two of N(0, 1) it is 2/√π
        across = 2 * math.sqrt(2) * math.exp(-1) / math.sqrt(2 * math.pi) + 2 * math.erf(1)
        truth = 2 * across - 4 / math.sqrt(math.pi)
        rng = np.random.default_rng(0)
        real, generated = rng.standard_normal((4_000, 1)), rng.standard_normal((4_000, 1)) + 2
        measure = energy_distance(real / real.std(), generated / real.std())
        assert measure.spread is not None
        assert measure.value == pytest.approx(truth, abs=4 * measure.spread)
        assert measure.spread < 0.06

    def test_energy_distance_knows_no_units(self) -> None:
        rng = np.random.default_rng(0)
        real, generated = rng.standard_normal((50, 2)), rng.standard_normal((60, 2)) + 0.5
        units = np.array([1e-3, 1e5])
        assert energy_distance(real * units, generated * units).value == pytest.approx(
            energy_distance(real, generated).value, rel=1e-9
        )
        assert math.isfinite(energy_distance(np.ones((5, 2)), generated).value)


@pytest.mark.parametrize("measure", [fid, kid])
def test_order_does_not_matter(measure) -> None:
    x, y = correlated(200, 12, 1), correlated(150, 12, 2)
    shuffled = x[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert measure(shuffled, y).value == pytest.approx(measure(x, y).value, rel=1e-9)
    assert values(shuffled, y) == values(x, y)


def test_a_set_against_itself() -> None:
    x = correlated(400, 12, 1)
    assert fid(x, x).value == pytest.approx(0, abs=1e-6)
    assert kid(x, x).value < 0  # unbiased: it is zero for a fresh draw on average, and below for the very same one


def test_more_noise_is_worse() -> None:
    x, y = correlated(500, 6, 1), correlated(500, 6, 1) + 0
    noise = normal(500, 6, 9)
    ladder = [y + level * noise for level in (0.5, 2.0, 8.0)]
    assert sorted(fid(x, z).value for z in ladder) == [fid(x, z).value for z in ladder]
    assert sorted(kid(x, z).value for z in ladder) == [kid(x, z).value for z in ladder]
    assert sorted((values(x, z)[0] for z in ladder), reverse=True) == [values(x, z)[0] for z in ladder]
