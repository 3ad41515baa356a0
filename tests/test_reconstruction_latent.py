"""Reconstruction and latent metrics: hand values, closed forms, invariances."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from torch import Tensor

from kallima.errors import DataError, UsageError
from kallima.evaluation.latent.beta_vae import beta_vae_score
from kallima.evaluation.latent.clustering import clustering_accuracy, nmi
from kallima.evaluation.latent.mig import mig
from kallima.evaluation.latent.path_length import perceptual_path_length
from kallima.evaluation.latent.probes import knn_accuracy, linear_probe
from kallima.evaluation.reconstruction import mean_squared_error, multiscale_similarity, psnr, structural_similarity
from kallima.sampling.interpolation import lerp, slerp


def pictures(count: int, seed: int = 0, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(count, size, size, 3), dtype=np.uint8)


class TestReconstruction:
    def test_by_hand(self) -> None:
        x = np.zeros((3, 2, 2, 1), dtype=np.uint8)
        y = x.copy()
        y[0], y[1, 0, 0] = 255, 10
        y[2] = 1
        errors = np.array([65025, 25, 1])
        measure = mean_squared_error(x, y)
        assert measure.value == errors.mean()
        assert measure.spread == pytest.approx(errors.std(ddof=1) / math.sqrt(3))
        ratios = [0, 20 * math.log10(255) - 10 * math.log10(25), 20 * math.log10(255)]
        assert psnr(x, y).value == pytest.approx(np.mean(ratios), rel=1e-12)
        assert psnr(x[2:], y[2:]).value == pytest.approx(48.1308, abs=1e-4)
        assert psnr(x / 255, y / 255, peak=1).value == pytest.approx(np.mean(ratios), rel=1e-12)

    def test_exact_reconstructions_are_counted(self) -> None:
        x = pictures(4)
        y = x.copy()
        y[0] ^= 1
        assert psnr(x, y).value == pytest.approx(48.1308, abs=1e-4)
        assert psnr(x, y).notes[1] == "3 of 4 reconstructions are exact and left out"
        assert psnr(x, x).value == math.inf
        assert mean_squared_error(x, x).value == 0
        assert structural_similarity(x, x).value == pytest.approx(1)
        assert multiscale_similarity(x, x).value == pytest.approx(1)

    def test_means_of_the_pairs(self) -> None:
        from kallima.evaluation.ms_ssim import ms_ssim, ssim

        x, y = pictures(5, 1), (0.9 * pictures(5, 1) + 0.1 * pictures(5, 2)).astype(np.uint8)
        for measure, pairs in ((structural_similarity, ssim), (multiscale_similarity, ms_ssim)):
            each = pairs(torch.from_numpy(x), torch.from_numpy(y)).numpy()
            found = measure(x, y)
            assert found.value == pytest.approx(each.mean())
            assert found.spread == pytest.approx(each.std(ddof=1) / math.sqrt(5))
            assert measure(x[::-1] / 255, y[::-1] / 255, peak=1.0).value == pytest.approx(found.value, rel=1e-9)
        assert "MS-SSIM at 2 scales of 5" in multiscale_similarity(x, y).notes

    def test_more_noise_is_worse(self) -> None:
        x, noise = pictures(3, 1) * 0.5 + 64, np.random.default_rng(0).standard_normal((3, 32, 32, 3))
        ladder = [np.clip(x + level * noise, 0, 255) for level in (1, 5, 20)]
        for measure in (psnr, structural_similarity, multiscale_similarity):
            values = [measure(x, y, peak=255).value for y in ladder]
            assert values == sorted(values, reverse=True)

    def test_what_is_refused(self) -> None:
        x = pictures(2)
        with pytest.raises(UsageError, match="need a peak"):
            psnr(x / 255, x / 255)
        with pytest.raises(UsageError, match="a peak of 0 is none"):
            psnr(x, x, peak=0)
        with pytest.raises(DataError, match="values leave the range from 0 to 1"):
            psnr(x * 1.0, x * 1.0, peak=1)
        with pytest.raises(DataError, match="they need one shape"):
            mean_squared_error(x, x[:1])
        with pytest.raises(DataError, match="there are 0 originals"):
            mean_squared_error(x[:0], x[:0])
        with pytest.raises(DataError, match="1 of 2 reconstructions hold NaN"):
            mean_squared_error(np.zeros((2, 3)), np.array([[0, 0, math.nan], [0, 0, 0]]))
        with pytest.raises(DataError, match="they need to be"):
            structural_similarity(x, x[:, :9])


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of N(±1, 1) in the first of three dimensions: the best accuracy is Φ(1)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    codes = rng.standard_normal((count, 3)) * np.array([1, 100, 0.01])
    codes[:, 0] += 2.0 * labels - 1
    return codes, labels


class TestProbes:
    def test_the_linear_probe_reaches_bayes(self) -> None:
        measure = linear_probe(*blobs(4000, 0), *blobs(4000, 1))
        best = scipy.stats.norm.cdf(1)
        assert measure.value == pytest.approx(best, abs=4 * measure.spread)
        assert measure.spread == pytest.approx(math.sqrt(best * (1 - best) / 4000), rel=0.05)

    def test_neighbours_by_hand(self) -> None:
        codes, labels = np.array([[0.0], [1], [2], [10], [11]]), ["a", "a", "b", "b", "b"]
        tests, truth = np.array([[0.4], [10.2], [3.0]]), ["a", "b", "a"]
        assert knn_accuracy(codes, labels, tests, truth, neighbours=3).value == 1
        assert knn_accuracy(codes, labels, tests, truth, neighbours=1).value == pytest.approx(2 / 3)
        assert knn_accuracy(codes, labels, tests, truth, neighbours=5).value == pytest.approx(1 / 3)

    def test_names_units_and_order_are_nothing(self) -> None:
        codes, labels = blobs(200, 0)
        tests, truth = blobs(100, 1)
        words = np.array(["cat", "dog"])
        order = np.random.default_rng(0).permutation(200)
        expected = linear_probe(codes, labels, tests, truth)
        assert linear_probe(7 * codes + 1e3, words[labels], 7 * tests + 1e3, words[truth]).value == expected.value
        assert linear_probe(codes[order], labels[order], tests, truth).value == expected.value
        assert knn_accuracy(codes[order], labels[order], torch.from_numpy(tests), torch.from_numpy(truth)) == (
            knn_accuracy(codes, labels, tests, truth)
        )

    def test_what_is_refused(self) -> None:
        codes, labels = blobs(20, 0)
        with pytest.raises(DataError, match="there are 19 labels for 20 codes"):
            linear_probe(codes, labels[1:], codes, labels)
        with pytest.raises(DataError, match="the labels are of one class"):
            linear_probe(codes, np.zeros(20, int), codes, labels)
        with pytest.raises(DataError, match="the codes have 3 dimensions, the test codes 2"):
            knn_accuracy(codes, labels, codes[:, :2], labels)
        with pytest.raises(DataError, match="21 neighbours cannot be found among 20 codes"):
            knn_accuracy(codes, labels, codes, labels, neighbours=21)
        with pytest.raises(DataError, match="20 of 20 codes hold NaN"):
            linear_probe(codes * math.nan, labels, codes, labels)


class TestClustering:
    truth = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    found = np.array([1, 1, 0, 0, 0, 0, 2, 2, 2, 1])

    def test_by_hand(self) -> None:
        # 1 ↔ 0, 0 ↔ 1, 2 ↔ 2: 2 + 3 + 3
        assert clustering_accuracy(self.truth, self.found).value == 0.8
        assert clustering_accuracy(self.truth, np.zeros(10, int)).value == 0.4
        assert clustering_accuracy(self.truth, np.arange(10)).value == pytest.approx(0.3)

    def test_names_and_order_are_nothing(self) -> None:
        rng = np.random.default_rng(0)
        for measure in (clustering_accuracy, nmi):
            whole = measure(self.truth, self.found)
            order, names = rng.permutation(10), np.array(["x", "b", "a"])
            shuffled = measure(names[self.truth][order], rng.permutation(3)[self.found][order])
            assert shuffled.value == pytest.approx(whole.value, rel=1e-12)
            assert shuffled.spread == pytest.approx(whole.spread, rel=1e-12)
            assert measure(self.truth, 2 - self.truth).value == pytest.approx(1)

    def test_nmi_of_scikit_learn_and_its_jackknife(self) -> None:
        rng = np.random.default_rng(1)
        truth, found = rng.integers(3, size=40), rng.integers(5, size=40)
        found[:20] = truth[:20]
        measure = nmi(truth, found)
        oracle = lambda a, b: sklearn.metrics.normalized_mutual_info_score(a, b)  # noqa: E731
        assert measure.value == pytest.approx(oracle(truth, found), rel=1e-12)
        replicates = [oracle(np.delete(truth, i), np.delete(found, i)) for i in range(40)]
        assert measure.spread == pytest.approx(math.sqrt(39 * np.var(replicates)), rel=1e-9)

    def test_independent_parts_know_nothing(self) -> None:
        truth, found = np.repeat([0, 1], 50), np.tile([0, 1], 50)
        assert nmi(truth, found).value == pytest.approx(0, abs=1e-12)
        assert nmi(np.zeros(5, int), np.zeros(5, int)) == nmi([3] * 5, ["a"] * 5)
        assert nmi(np.zeros(5, int), np.zeros(5, int)).value == 1

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="there are 2 clusters for 3 examples"):
            nmi([0, 1, 2], [0, 1])
        with pytest.raises(DataError, match="need to be classes"):
            clustering_accuracy([0.5, 1.0], [0, 1])
        with pytest.raises(DataError, match="there are no labels"):
            clustering_accuracy(np.array([], dtype=int), np.array([], dtype=int))


FACTORS = np.stack(np.meshgrid(np.arange(4), np.arange(5), np.arange(3), indexing="ij"), -1).reshape(-1, 3)


class TestDisentanglement:
    def test_a_factor_an_axis(self) -> None:
        codes = FACTORS[:, [2, 0, 1]] * np.array([-3.0, 0.1, 50])
        measure = mig(codes, FACTORS)
        assert measure.value == pytest.approx(1, abs=1e-12)
        assert measure.spread is not None
        assert beta_vae_score(codes, FACTORS).value == 1

    def test_a_rotated_code_has_no_gap(self) -> None:
        grid = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)
        turn = np.array([[1, -1], [1, 1]]) / math.sqrt(2)
        assert mig(grid @ turn.T, grid).value == pytest.approx(0, abs=1e-9)
        assert mig(grid @ np.eye(2), grid).value == pytest.approx(1)

    def test_a_factor_told_twice_has_no_gap(self) -> None:
        codes = np.concatenate([FACTORS, FACTORS[:, :1]], 1).astype(float)
        assert mig(codes, FACTORS).value == pytest.approx(2 / 3)
        assert beta_vae_score(codes, FACTORS, trained=500, tested=300).value > 0.99

    def test_noise_knows_no_factor(self) -> None:
        rng = np.random.default_rng(0)
        factors = rng.integers(4, size=(20_000, 3))
        noise = rng.standard_normal((20_000, 4))
        assert mig(noise, factors).value < 0.01
        score = beta_vae_score(noise, factors, pairs=8)
        assert score.value == pytest.approx(1 / 3, abs=4 * score.spread)
        assert "chance is 33%" in score.notes

    def test_one_pair_by_hand(self) -> None:
        from kallima.evaluation.latent.beta_vae import _differences

        rng = np.random.default_rng(0)
        differences = _differences(FACTORS.astype(float), FACTORS[:, 1], 4000, 50, rng)
        # of uniform values on 0 … n − 1, E|a − b| = (n² − 1) / 3n
        assert differences.mean(0) == pytest.approx([15 / 12, 0, 8 / 9], abs=0.01)

    def test_order_is_nothing(self) -> None:
        rng = np.random.default_rng(0)
        codes = FACTORS + 0.5 * rng.standard_normal(FACTORS.shape)
        order = rng.permutation(len(codes))
        assert mig(codes[order], FACTORS[order]).value == pytest.approx(mig(codes, FACTORS).value, rel=1e-12)

    def test_what_is_refused(self) -> None:
        codes = FACTORS.astype(float)
        with pytest.raises(DataError, match="there are 59 factors for 60 codes"):
            mig(codes, FACTORS[1:])
        with pytest.raises(DataError, match="one dimension"):
            mig(codes[:, :1], FACTORS)
        with pytest.raises(DataError, match="no factor varies"):
            mig(codes, np.zeros((60, 2), int))
        with pytest.raises(DataError, match="need to be whole numbers"):
            beta_vae_score(codes, FACTORS * 0.5)
        with pytest.raises(DataError, match="fewer than two factors vary"):
            beta_vae_score(codes, FACTORS[:, :1])


class TestPathLength:
    first = torch.randn(200, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    second = torch.randn(200, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def test_a_constant_generator_has_none(self) -> None:
        for path in (lerp, slerp):
            measure = perceptual_path_length(lambda z: torch.ones(len(z), 3), self.first, self.second, path=path)
            assert (measure.value, measure.spread) == (0, 0)

    def test_a_linear_generator_in_closed_form(self) -> None:
        matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        truth = ((self.second - self.first) @ matrix).square().sum(1)
        whole = perceptual_path_length(
            lambda z: (z @ matrix).view(-1, 2, 3), self.first, self.second, path=lerp, trim=0
        )
        assert whole.value == pytest.approx(truth.mean().item(), rel=1e-6)
        assert whole.spread == pytest.approx(truth.std().item() / math.sqrt(200), rel=1e-6)
        trimmed = perceptual_path_length(lambda z: z @ matrix, self.first, self.second, path=lerp)
        assert trimmed.value == pytest.approx(truth.sort().values[2:-2].mean().item(), rel=1e-6)
        assert trimmed.notes == ("ε = 0.0001, 200 pairs, 4 extreme ones left out",)

    def test_great_circles_are_travelled_at_an_even_pace(self) -> None:
        ends = [x / x.norm(dim=1, keepdim=True) for x in (self.first, self.second)]
        angles = (ends[0] * ends[1]).sum(1).acos()
        assert perceptual_path_length(lambda z: z, *ends, trim=0).value == pytest.approx(
            angles.square().mean().item(), rel=1e-6
        )
        half = torch.full((200, 1), 0.5, dtype=torch.float64)
        assert slerp(*ends, half).norm(dim=1).numpy() == pytest.approx(1)
        assert torch.equal(slerp(ends[0], ends[0], half), ends[0])

    def test_single_precision_and_batches_are_nothing(self) -> None:
        exact = perceptual_path_length(torch.tanh, self.first, self.second, path=lerp)
        single = perceptual_path_length(
            torch.tanh, self.first.float(), self.second.float(), path=lerp, epsilon=1e-2, batch_size=7
        )
        assert single.value == pytest.approx(exact.value, rel=0.02)

    def test_a_distance_of_one_s_own(self) -> None:
        seen: list[Tensor] = []

        def distance(x: Tensor, y: Tensor) -> Tensor:
            seen.append(x)
            return torch.full((len(x),), 3e-8)

        assert perceptual_path_length(lambda z: z, self.first, self.second, distance=distance).value == pytest.approx(3)
        assert sum(map(len, seen)) == 200

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="they need one shape"):
            perceptual_path_length(lambda z: z, self.first, self.second[:9])
        with pytest.raises(DataError, match="not one finite number a pair"):
            perceptual_path_length(lambda z: z * math.nan, self.first, self.second)
        with pytest.raises(DataError, match="the codes hold NaN"):
            perceptual_path_length(lambda z: z, self.first * math.nan, self.second)
