"""Metrics of images: closed forms, hand cases, other implementations, invariances, and what each sees and misses."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation import evaluate_images
from kallima.evaluation.birthday import birthday, duplicate_threshold, half_chance, support
from kallima.evaluation.class_fid import class_fid, class_fids
from kallima.evaluation.classification_accuracy import Classifier, gan_test, gan_train
from kallima.evaluation.features import probe
from kallima.evaluation.fid import fid
from kallima.evaluation.fid_infinity import extrapolate, fid_infinity
from kallima.evaluation.inception_score import inception_score
from kallima.evaluation.memorisation import memorisation, nearest_training
from kallima.evaluation.ms_ssim import WEIGHTS, describe, ms_ssim, ms_ssim_diversity, scales, ssim
from kallima.evaluation.ndb import compare_bins, different_bins, jensen_shannon, ndb
from kallima.evaluation.nearest import Search, nearest, nearest_other, partners
from kallima.evaluation.score import Measure
from kallima.evaluation.sliced_wasserstein import laplacian_pyramid, sliced_distance, sliced_wasserstein


def normal(count: int, width: int, seed: int, mean: float = 0, deviation: float = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(count, width, generator=rng)


def shuffled(x: Tensor, seed: int = 0) -> Tensor:
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]


def blobs(count: int, seed: int, *, size: int = 16, channels: int = 1, labels: np.ndarray | None = None) -> np.ndarray:
    """Draw smooth images uint8 (N, size, size, C): a bright spot, at one of four corners where labels are given."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.2, 0.8, (count, 2))
    if labels is not None:
        places = np.array([[0.3, 0.3], [0.3, 0.7], [0.7, 0.3], [0.7, 0.7]])[labels] + rng.uniform(-0.1, 0.1, (count, 2))
    grid = (np.arange(size) + 0.5) / size
    rows = np.exp(-((grid - places[:, :1]) ** 2) * 40)
    columns = np.exp(-((grid - places[:, 1:]) ** 2) * 40)
    images = 20 + 200 * rows[:, :, None, None] * columns[:, None, :, None] * rng.uniform(
        0.7, 1, (count, 1, 1, channels)
    )
    return (images + rng.normal(0, 3, images.shape)).clip(0, 255).astype(np.uint8)


def noisy(images: np.ndarray, deviation: float, seed: int = 9) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


class TestInceptionScore:
    def test_exact_values(self) -> None:
        assert inception_score(torch.eye(10).repeat(30, 1), splits=1).value == pytest.approx(10, rel=1e-12)
        assert inception_score(torch.eye(10)[:1].repeat(300, 1)).value == pytest.approx(1, rel=1e-12)
        assert inception_score(torch.full((300, 10), 0.1)).value == pytest.approx(1, rel=1e-12)

    def test_by_hand(self) -> None:
        p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
        q = p.mean(0)
        expected = math.exp(np.mean([sum(x * math.log(x / y) for x, y in zip(row, q, strict=True)) for row in p]))
        assert inception_score(p, splits=1).value == pytest.approx(expected, rel=1e-12)

    def test_exp_is_taken_in_each_split(self) -> None:
        # two splits of two images: 2 where their classes differ, else 1; the mean of exps is then 2, 1.5 or 1
        p = torch.eye(2)[[0, 0, 1, 1]]
        values = {round(inception_score(p, splits=2, seed=seed).value, 9) for seed in range(20)}
        assert values == {1.0, 2.0}
        mixed = torch.eye(3)[[0, 1, 2, 2]]
        found = {inception_score(mixed, splits=2, seed=seed).value for seed in range(20)}
        assert {round(v, 9) for v in found} == {1.5, 2.0}

    def test_splits_and_their_spread(self) -> None:
        p = torch.eye(10)[torch.randint(10, (2_000,), generator=torch.Generator().manual_seed(0))]
        measure = inception_score(p)
        assert measure.spread is not None
        assert measure.spread_method == "standard error of the mean of 10 splits"
        assert 9.5 < measure.value < 10
        assert f"standard deviation over the splits {measure.spread * math.sqrt(10):.3g}" in measure.notes
        assert inception_score(p, seed=1).value == pytest.approx(measure.value, abs=0.1)
        assert any("biased down" in note for note in inception_score(p[:500]).notes)

    def test_blur_and_missing_classes_lower_it(self) -> None:
        p = torch.eye(10)[torch.arange(1_000) % 10]
        scores = [inception_score((1 - a) * p + a / 10).value for a in (0, 0.2, 0.5, 0.9)]
        assert scores == sorted(scores, reverse=True)
        assert inception_score(p[p[:, :5].sum(1) > 0], splits=1).value == pytest.approx(5)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (torch.eye(10) * 3, "apply a softmax"),
            (torch.tensor([[1.5, -0.5], [0.5, 0.5]]), "apply a softmax"),
            (torch.tensor([[math.nan, 1], [0, 1]]), "NaN"),
            (torch.eye(10)[:1], "1 images are too few"),
            (torch.ones(10, 1), "two or more classes"),
            (torch.ones(10), "shape"),
        ],
    )
    def test_what_is_refused(self, given: Tensor, message: str) -> None:
        with pytest.raises(DataError, match=message):
            inception_score(given)


def naive_ssim(x: np.ndarray, y: np.ndarray, peak: float, taps: int = 11) -> tuple[float, float]:
    """SSIM and its contrast factor of one grey image pair (H, W), window by window."""
    steps = np.arange(taps) - taps // 2
    weights = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    whole, contrast = [], []
    for i in range(x.shape[0] - taps + 1):
        for j in range(x.shape[1] - taps + 1):
            a, b = x[i : i + taps, j : j + taps].astype(float), y[i : i + taps, j : j + taps].astype(float)
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            contrast.append((2 * cov + c2) / (va + vb + c2))
            whole.append(contrast[-1] * (2 * ma * mb + c1) / (ma**2 + mb**2 + c1))
    return float(np.mean(whole)), float(np.mean(contrast))


class TestStructuralSimilarity:
    @pytest.mark.parametrize(("size", "taps"), [(16, 11), (8, 7)])
    def test_window_by_window(self, size: int, taps: int) -> None:
        x, y = blobs(3, 1, size=size), blobs(3, 2, size=size)
        expected = [naive_ssim(a[..., 0], b[..., 0], 255, taps)[0] for a, b in zip(x, y, strict=True)]
        assert ssim(x, y).tolist() == pytest.approx(expected, rel=1e-9)

    def test_scale_by_scale(self) -> None:
        x, y = blobs(1, 1, size=32)[0, ..., 0].astype(float), noisy(blobs(1, 1, size=32), 20)[0, ..., 0].astype(float)
        halved = [z.reshape(16, 2, 16, 2).mean((1, 3)) for z in (x, y)]
        total = WEIGHTS[0] + WEIGHTS[1]
        expected = naive_ssim(x, y, 255)[1] ** (WEIGHTS[0] / total)
        expected *= naive_ssim(*halved, 255)[0] ** (WEIGHTS[1] / total)
        assert ms_ssim(x[None, ..., None], y[None, ..., None]).item() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("size", "channels"), [(28, 1), (64, 3), (180, 1)])
    def test_torchmetrics(self, size: int, channels: int) -> None:
        image = pytest.importorskip("torchmetrics.functional.image")
        x = blobs(2, 1, size=size, channels=channels)
        y = noisy(x, 25)
        a, b = (torch.from_numpy(z).permute(0, 3, 1, 2).double() for z in (x, y))
        # it averages SSIM over mirrored borders too, where no window fits: these are cut off here
        _, everywhere = image.structural_similarity_index_measure(
            a, b, data_range=255.0, reduction="none", return_full_image=True
        )
        assert ssim(x, y).tolist() == pytest.approx(everywhere[..., 5:-5, 5:-5].mean((1, 2, 3)).tolist(), rel=1e-5)

        count = scales(size, size)
        weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
        theirs = image.multiscale_structural_similarity_index_measure(
            a, b, data_range=255.0, reduction="none", betas=tuple(weights)
        )
        for _ in range(count - 1):
            a, b = (torch.nn.functional.avg_pool2d(z, 2) for z in (a, b))
        bordered, everywhere = image.structural_similarity_index_measure(
            a, b, data_range=255.0, reduction="none", return_full_image=True
        )
        theirs *= (everywhere[..., 5:-5, 5:-5].mean((1, 2, 3)) / bordered) ** weights[-1]
        assert ms_ssim(x, y).tolist() == pytest.approx(theirs.tolist(), rel=1e-5)

    def test_scales_fit_the_window(self) -> None:
        sizes = {8: 1, 16: 1, 21: 1, 22: 2, 28: 2, 32: 2, 43: 2, 44: 3, 64: 3, 88: 4, 128: 4, 175: 4, 176: 5, 512: 5}
        assert {size: scales(size, 600) for size in sizes} == sizes
        assert describe(28, 28) == "MS-SSIM at 2 scales of 5"
        assert describe(8, 8) == "MS-SSIM at 1 scale of 5, a window of 7 pixels"
        assert describe(176, 200) == "MS-SSIM at 5 scales of 5"

    @pytest.mark.parametrize("size", [1, 2, 8, 16, 64])
    def test_equal_images_have_one(self, size: int) -> None:
        x = blobs(3, 1, size=size, channels=3)
        assert ssim(x, x).tolist() == pytest.approx([1, 1, 1], rel=1e-12)
        assert ms_ssim(x, x).tolist() == pytest.approx([1, 1, 1], rel=1e-12)
        black, white = np.zeros_like(x), np.full_like(x, 255)
        assert ssim(black, black).tolist() == [1, 1, 1]
        assert ssim(black, white).tolist() == pytest.approx([1e-4, 1e-4, 1e-4], rel=1e-3)  # c₁ / (255² + c₁)

    def test_symmetry_range_and_noise(self) -> None:
        x = blobs(4, 1, size=32)
        assert torch.allclose(ms_ssim(x, noisy(x, 30)), ms_ssim(noisy(x, 30), x), rtol=1e-12)
        assert torch.allclose(ms_ssim(x / 255.0, noisy(x, 30) / 255.0, peak=1), ms_ssim(x, noisy(x, 30)), rtol=1e-9)
        for measure in (ssim, ms_ssim):
            by_noise = [measure(x, noisy(x, deviation)).mean().item() for deviation in (0, 5, 20, 60)]
            assert by_noise == sorted(by_noise, reverse=True)
        # an inverted picture is unlike in structure: it counts as 0, not as NaN
        assert ssim(x, 255 - x).mean() < 0
        assert ((ms_ssim(x, 255 - x) >= 0) & (ms_ssim(x, 255 - x) < 0.2)).all()

    def test_what_is_refused(self) -> None:
        x = blobs(2, 1)
        with pytest.raises(DataError, match="equal"):
            ssim(x, x[:1])
        with pytest.raises(DataError, match="equal"):
            ms_ssim(x[..., 0], x[..., 0])
        with pytest.raises(DataError, match="range from 0 to 1"):
            ms_ssim(x, x, peak=1)
        with pytest.raises(DataError, match="NaN"):
            ssim(np.full((1, 16, 16, 1), math.nan), np.zeros((1, 16, 16, 1)))


class TestDiversity:
    def test_collapse_is_one(self) -> None:
        same = np.repeat(blobs(1, 1), 40, 0)
        assert ms_ssim_diversity(same).value == pytest.approx(1, rel=1e-9)
        assert ms_ssim_diversity(same).spread == pytest.approx(0, abs=1e-9)
        assert ms_ssim_diversity(blobs(40, 1)).value < 0.8

    def test_collapse_within_classes_shows_by_class_alone(self) -> None:
        labels = np.arange(80) % 4
        collapsed = noisy(blobs(4, 1, labels=np.arange(4))[labels], 2)
        diverse = blobs(80, 2, labels=labels)
        assert ms_ssim_diversity(collapsed, labels).value > 0.97
        assert ms_ssim_diversity(diverse, labels).value < 0.9
        assert ms_ssim_diversity(collapsed).value < 0.8

    def test_pairs_are_disjoint_and_classes_count_alike(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[int, int]] = []

        def spy(x: Tensor, y: Tensor) -> Tensor:
            seen.extend(zip(x[:, 0, 0, 0].tolist(), y[:, 0, 0, 0].tolist(), strict=True))
            return x[:, 0, 0, 0].double() // 100

        monkeypatch.setattr("kallima.evaluation.ms_ssim.ms_ssim", spy)
        values = np.r_[np.arange(30), np.arange(100, 110)].astype(np.uint8)
        images = np.broadcast_to(values[:, None, None, None], (40, 16, 16, 1))
        measure = ms_ssim_diversity(images, values // 100)
        assert sorted(i for pair in seen for i in pair) == values.tolist()
        assert all(a // 100 == b // 100 for a, b in seen)
        assert measure.value == 0.5

    def test_spread_is_that_of_fresh_draws(self) -> None:
        draws = [ms_ssim_diversity(blobs(60, seed)) for seed in range(30)]
        assert np.mean([d.spread for d in draws]) == pytest.approx(np.std([d.value for d in draws]), rel=0.35)

    def test_notes(self) -> None:
        labels = np.r_[np.zeros(10, int), np.full(10, 2), [5]]
        measure = ms_ssim_diversity(blobs(21, 1), labels, real=blobs(40, 2), real_labels=np.arange(40) % 2)
        assert measure.notes[:2] == (
            "MS-SSIM at 1 scale of 5",
            "classes with fewer than two images are left out: 5",
        )
        assert measure.notes[2].startswith("real images have 0.")
        assert ms_ssim_diversity(blobs(3, 1)).spread is None

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="no class has two generated images"):
            ms_ssim_diversity(blobs(3, 1), [0, 1, 2])
        with pytest.raises(DataError, match="2 generated labels for 3"):
            ms_ssim_diversity(blobs(3, 1), [0, 1])
        with pytest.raises(DataError, match="need whole numbers"):
            ms_ssim_diversity(blobs(3, 1), torch.rand(3))
        with pytest.raises(DataError, match="float64"):
            ms_ssim_diversity(blobs(3, 1) / 255)
        with pytest.raises(DataError, match="1 generated images are too few"):
            ms_ssim_diversity(blobs(1, 1))


class TestSlicedWasserstein:
    def test_one_dimension_is_the_gap_of_sorted_values(self) -> None:
        x, y = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([[2.0], [6.0], [4.0]])
        assert sliced_distance(x, y) == pytest.approx((1 + 2 + 3) / 3)

    def test_a_shift_in_many_dimensions(self) -> None:
        # of one set moved by v: E |⟨v, θ⟩| = |v| Γ(d/2) / (√π Γ((d + 1)/2))
        x, v = normal(200, 5, 1), torch.tensor([3.0, 0, 4, 0, 0])
        factor = math.gamma(2.5) / (math.sqrt(math.pi) * math.gamma(3))
        assert sliced_distance(x, shuffled(x + v), directions=20_000) == pytest.approx(5 * factor, rel=0.02)

    def test_the_pyramid_sums_up_to_the_image(self) -> None:
        images = torch.from_numpy(blobs(2, 1, size=64, channels=3))
        levels = laplacian_pyramid(images)
        assert [level.shape[2] for level in levels] == [64, 32, 16]
        whole = levels[-1]
        for level in levels[-2::-1]:
            whole = level + torch.nn.functional.interpolate(whole, size=level.shape[2:], mode="bilinear")
        assert torch.allclose(whole * 255, images.permute(0, 3, 1, 2).float(), atol=1e-3)
        for size, sides in {28: [28, 14], 16: [16, 8], 15: [15], 33: [33, 16], 8: [8]}.items():
            assert [level.shape[2] for level in laplacian_pyramid(torch.from_numpy(blobs(1, 1, size=size)))] == sides

    def test_a_set_against_itself(self) -> None:
        x = blobs(30, 1, size=32)
        measure = sliced_wasserstein(x, x)
        # the sets are shuffled apart: the distance is that of patches from other places
        assert measure.value < sliced_wasserstein(x, noisy(x, 10)).value / 2
        flat = np.full((10, 16, 16, 1), 7, np.uint8)
        measure = sliced_wasserstein(flat, flat)
        assert (measure.value, measure.spread) == (0, 0)
        assert "the real images never vary in a channel: it is measured in grey levels" in measure.notes

    def test_noise_blur_brightness_and_collapse_are_seen(self) -> None:
        x, y = blobs(200, 1, size=16), blobs(200, 2, size=16)
        null = sliced_wasserstein(x, y)
        by_noise = [sliced_wasserstein(x, noisy(y, deviation)).value for deviation in (0, 4, 10, 30)]
        assert by_noise == sorted(by_noise)
        assert null.spread is not None
        far = null.value + 5 * null.spread
        assert sliced_wasserstein(x, (y * 0.8).astype(np.uint8)).value > far
        assert sliced_wasserstein(x, np.repeat(y[:1], 200, 0)).value > far

    @pytest.mark.parametrize("size", [16, 28, 32])
    def test_blur_shows_at_the_finest_level(self, size: int) -> None:
        def finest(measure: Measure) -> float:
            return float(measure.notes[0].split(": ")[1].split(",")[0])

        x, y = noisy(blobs(200, 1, size=size), 10), noisy(blobs(200, 2, size=size), 10)
        blurred = sum(np.roll(y.astype(int), i, 1 + i % 2) for i in range(3)) // 3
        equal, unlike = sliced_wasserstein(x, y), sliced_wasserstein(x, blurred.astype(np.uint8))
        assert finest(unlike) > 3 * finest(equal)

    def test_levels_and_sizes_are_said(self) -> None:
        notes = sliced_wasserstein(blobs(9, 1, size=32), blobs(40, 2, size=32)).notes
        assert notes[0].startswith("by level 32×32: ")
        assert ", 16×16: " in notes[0]
        assert notes[1] == "×10³, 5 images, 16 patches each, 128 directions"

    def test_spread_is_that_of_fresh_draws(self) -> None:
        draws = [sliced_wasserstein(blobs(60, 2 * i), blobs(60, 2 * i + 1) // 2) for i in range(25)]
        assert np.mean([d.spread for d in draws]) == pytest.approx(np.std([d.value for d in draws]), rel=0.4)

    def test_jackknife_leaves_images_out(self) -> None:
        # with two images there are two folds of one: patches of one image are never in two folds
        x, y = blobs(2, 1), blobs(2, 2)
        assert sliced_wasserstein(x, y).spread_method == "jackknife over 2 folds, the directions given"

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="no patch of 7×7"):
            sliced_wasserstein(blobs(9, 1, size=6), blobs(9, 1, size=6))
        with pytest.raises(DataError, match=r"shape \(16, 16, 1\), the others \(32, 32, 1\)"):
            sliced_wasserstein(blobs(9, 1, size=32), blobs(9, 1))
        with pytest.raises(DataError, match="equal counts"):
            sliced_distance(normal(3, 2, 1), normal(4, 2, 1))


class TestClassFid:
    def test_one_dimension_by_hand(self) -> None:
        # (μ₁ − μ₂)² + (σ₁ − σ₂)² within each class
        real = torch.tensor([[0.0], [2.0], [10.0], [10.0]])
        generated = torch.tensor([[1.0], [3.0], [10.0], [14.0]])
        labels = torch.tensor([0, 0, 1, 1])
        found, left_out = class_fids(real, generated, labels, labels)
        assert found[0].value == pytest.approx(1)
        assert found[1].value == pytest.approx(4 + 8)
        assert left_out == ()
        measure = class_fid(real, generated, labels, labels)
        assert measure.value == pytest.approx(6.5)
        assert measure.notes == ("by class 1: 12, 0: 1",)

    def test_classes_exchanged_are_seen_where_fid_sees_nothing(self) -> None:
        real = torch.cat([normal(200, 4, 1), normal(200, 4, 2, 5)])
        labels = torch.arange(400) // 200
        assert fid(real, real).value == pytest.approx(0, abs=1e-9)
        assert class_fid(real, real, labels, labels).value == pytest.approx(0, abs=1e-9)
        assert class_fid(real, real, labels, 1 - labels).value > 90

    def test_order_is_nothing(self) -> None:
        real, generated = normal(90, 3, 1), normal(60, 3, 2)
        a, b = torch.arange(90) % 3, torch.arange(60) % 3
        order = shuffled(torch.arange(60))
        whole = class_fid(real, generated, a, b)
        assert class_fid(real, generated[order], a, b[order]).value == pytest.approx(whole.value, rel=1e-9)
        assert whole.spread is not None

    def test_empty_and_small_classes_are_said(self) -> None:
        real, generated = normal(41, 20, 1), normal(40, 20, 2)
        measure = class_fid(real, generated, [0] * 30 + [1] * 10 + [3], [0] * 30 + [1] * 8 + [2] * 2)
        assert measure.notes[1:] == (
            "left out, with fewer than two real or generated examples: classes 2, 3",
            "no more examples than features in classes 1: their FID is biased up",
        )

    def test_what_is_refused(self) -> None:
        x = normal(4, 2, 1)
        with pytest.raises(DataError, match="no class has two real and two generated"):
            class_fid(x, x, [0, 0, 0, 0], [1, 1, 1, 1])
        with pytest.raises(DataError, match="3 real labels for 4 real examples"):
            class_fid(x, x, [0, 0, 0], [0, 0, 0, 0])
        with pytest.raises(DataError, match="take both from one extractor"):
            class_fid(x, normal(4, 3, 1), [0] * 4, [0] * 4)
        with pytest.raises(DataError, match="classes count from 0"):
            class_fid(x, x, [-1] * 4, [0] * 4)


class TestFidInfinity:
    def test_gaussians_of_the_reference_table(self) -> None:
        # the truth is 32; FID at 10,000 about 32.34
        measure = fid_infinity(normal(10_000, 64, 1), normal(10_000, 64, 2, 0.5, 1.5))
        assert measure.spread is not None
        assert measure.value == pytest.approx(32, abs=4 * measure.spread)
        assert measure.spread < 0.2
        assert "at 10,000" in measure.notes[0]

    def test_bias_is_gone_and_the_spread_is_that_of_fresh_draws(self) -> None:
        draws = [fid_infinity(normal(500, 8, 2 * i), normal(500, 8, 2 * i + 1, 0.5)) for i in range(40)]
        values = [draw.value for draw in draws]
        assert np.mean(values) == pytest.approx(2, abs=4 * np.std(values) / math.sqrt(40))
        assert np.mean([draw.spread for draw in draws]) == pytest.approx(np.std(values), rel=0.35)
        nulls = [fid_infinity(normal(500, 8, 100 + 2 * i), normal(500, 8, 101 + 2 * i)).value for i in range(40)]
        assert np.mean(nulls) == pytest.approx(0, abs=4 * np.std(nulls) / math.sqrt(40))
        assert min(nulls) < 0

    def test_the_line_is_that_of_least_squares(self) -> None:
        found = extrapolate(normal(300, 4, 1), normal(600, 4, 2))
        assert found.counts == (400, 200, 133, 100, 80)
        slope, intercept = np.polyfit(np.arange(1, 6) / 400, found.distances, 1)
        assert found.intercept == pytest.approx(intercept, rel=1e-9)
        assert found.slope == pytest.approx(slope, rel=1e-9)
        assert found.distances[0] == pytest.approx(fid(normal(300, 4, 1), normal(600, 4, 2)).value, rel=1e-9)

    def test_seeds_and_few_examples(self) -> None:
        x, y = normal(200, 4, 1), normal(200, 4, 2)
        assert fid_infinity(x, y, seed=3) == fid_infinity(x, y, seed=3)
        assert fid_infinity(x, y, seed=3).value != fid_infinity(x, y, seed=4).value
        assert any("no straight line" in note for note in fid_infinity(normal(30, 40, 1), normal(30, 40, 2)).notes)
        assert fid_infinity(normal(4, 2, 1), normal(4, 2, 2)).spread is None
        with pytest.raises(DataError, match="3 generated features are too few: this metric needs 4"):
            fid_infinity(x, y[:3])


def test_order_and_forms_of_the_samples_are_nothing() -> None:
    x, y = blobs(60, 1, size=32, channels=3), blobs(50, 2, size=32, channels=3)
    order = np.random.default_rng(0).permutation(50)
    classes = np.arange(50) % 3
    assert ms_ssim_diversity(y[order], classes[order]) == ms_ssim_diversity(y, classes)
    assert sliced_wasserstein(x, torch.from_numpy(y[order])).value == sliced_wasserstein(x, y).value
    a, b = normal(300, 4, 1), normal(300, 4, 2)
    assert fid_infinity(shuffled(a), shuffled(b, 1)).value == pytest.approx(fid_infinity(a, b).value, rel=1e-6)
    assert ndb(shuffled(a), b).divergence == ndb(a, b).divergence
    p = a.softmax(1)
    # what another batch size rounds otherwise changes nothing either
    assert inception_score(shuffled(p) + 1e-9).value == pytest.approx(inception_score(p.numpy()).value, rel=1e-6)
    y.setflags(write=False)
    assert ms_ssim_diversity(y[::-1]).value == ms_ssim_diversity(y).value


class TestNearest:
    def test_brute_force_in_any_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, y = normal(23, 3, 1), normal(17, 3, 2)
        truth = torch.cdist(x.double(), y.double())
        monkeypatch.setattr("kallima.evaluation.nearest.BLOCK", 5)
        distances, indices = nearest(x, y, 4)
        expected = truth.sort(1)
        assert torch.allclose(distances, expected.values[:, :4])
        assert torch.equal(indices, expected.indices[:, :4])
        own = torch.cdist(x.double(), x.double()).fill_diagonal_(math.inf)
        assert torch.allclose(nearest_other(x), own.min(1).values)
        assert torch.equal(partners(x, 1.0), (own <= 1).sum(1))

    def test_a_search_by_parts_in_any_order_is_the_search_of_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, y = normal(23, 3, 1), normal(60, 3, 2)
        expected = torch.cdist(x.double(), y.double()).sort(1)
        monkeypatch.setattr("kallima.evaluation.nearest.BLOCK", 7)
        search = Search(x, 4)
        for places in torch.randperm(60, generator=torch.Generator().manual_seed(0)).split([3, 40, 17]):
            search.look(y[places], places)
        assert torch.allclose(search.distances, expected.values[:, :4])
        assert torch.equal(search.indices, expected.indices[:, :4])

    def test_copies_are_at_zero_and_a_surface_is_inside(self) -> None:
        x = 1e3 + normal(50, 40, 1)
        assert (nearest(shuffled(x), x)[0] == 0).all()
        least = nearest_other(x).min().item()
        assert int(partners(x, least).sum()) == 2


class TestMemorisation:
    training, held_out, fresh = normal(2_000, 6, 1), normal(1_000, 6, 2), normal(1_000, 6, 3)

    def test_copies_are_found(self) -> None:
        measure = memorisation(shuffled(self.training)[:500], self.training, self.held_out)
        assert measure.value == 1
        assert measure.notes[1] == "500 of 500 generated images are exact copies in these features"
        half = torch.cat([self.training[:500] + 1e-3 * normal(500, 6, 4), self.fresh[:500]])
        assert memorisation(half, self.training, self.held_out).value == pytest.approx(0.525, abs=0.02)

    def test_fresh_data_has_the_rate_of_the_quantile(self) -> None:
        draws = [
            memorisation(normal(300, 3, 3 * i), normal(400, 3, 3 * i + 1), normal(300, 3, 3 * i + 2)) for i in range(60)
        ]
        values = [draw.value for draw in draws]
        assert np.mean(values) == pytest.approx(0.05, abs=4 * np.std(values) / math.sqrt(60))
        assert np.mean([draw.spread for draw in draws]) == pytest.approx(np.std(values), rel=0.4)
        measure = memorisation(self.fresh, self.training, self.held_out, quantile=0.5)
        assert measure.value == pytest.approx(0.5, abs=0.06)

    def test_order_and_more_noise(self) -> None:
        whole = memorisation(self.fresh, self.training, self.held_out)
        assert memorisation(shuffled(self.fresh), shuffled(self.training), shuffled(self.held_out)) == whole
        rates = [
            memorisation(self.training[:500] + noise * normal(500, 6, 4), self.training, self.held_out).value
            for noise in (0, 0.1, 0.3, 1, 10)
        ]
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] == 0

    def test_by_hand(self) -> None:
        training, held_out = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [2.0], [7.0], [14.0]])
        # the control's distances are 1, 2, 3, 4: the smallest half ends at 2
        generated = torch.tensor([[0.5], [-2.0], [12.1], [5.0]])
        assert memorisation(generated, training, held_out, quantile=0.5).value == 0.5

    def test_notes_on_what_weakens_the_control(self) -> None:
        twice = torch.cat([self.training[:300], self.held_out[:700]])
        notes = memorisation(self.fresh, self.training, twice).notes
        assert "many held-out images are as near as the quantile: 30.0% of them count too" in notes
        assert "20 held-out images are few" in memorisation(self.fresh, self.training, self.held_out[:20]).notes[-1]

    def test_the_picture_shows_the_nearest_pairs_first(self) -> None:
        training = torch.tensor([[0.0], [10.0], [11.0], [20.0]])
        generated = torch.tensor([[13.0], [0.0], [10.4]])
        found = nearest_training(generated, training, count=2, rows=2)
        assert found.generated.tolist() == [1, 2]
        assert found.training.tolist() == [[0, 1], [1, 2]]
        assert found.distances.tolist() == [[0, 10], pytest.approx([0.4, 0.6], abs=1e-5)]
        ours, theirs = blobs(3, 1), blobs(4, 2)
        picture = found.picture(ours, theirs).numpy()
        assert picture.shape == (2, 3, 16, 16, 1)
        assert np.array_equal(picture[1], [ours[2], theirs[1], theirs[2]])
        assert nearest_training(generated, training[:2], count=5).training.shape == (3, 2)

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="1 held-out features are too few"):
            memorisation(self.fresh, self.training, self.held_out[:1])
        with pytest.raises(DataError, match="generated features hold NaN"):
            memorisation(self.fresh / 0, self.training, self.held_out)


class TestBins:
    def test_two_proportions_by_hand(self) -> None:
        # pooled .5 over 100 + 100: z = gap / √(.25 · .02) = gap / .0707; 1.96 of that is .1386
        assert different_bins(np.array([43, 57]), np.array([57, 43])).all()
        assert not different_bins(np.array([44, 56]), np.array([57, 43])).any()

    def test_jensen_shannon_by_hand(self) -> None:
        assert jensen_shannon(np.array([5, 0]), np.array([0, 9])) == pytest.approx(math.log(2))
        assert jensen_shannon(np.array([3, 6]), np.array([1, 2])) == pytest.approx(0, abs=1e-15)
        p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
        m = (p + q) / 2
        expected = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
        assert jensen_shannon(np.array([2, 2]), np.array([1, 3])) == pytest.approx(expected)

    def test_what_makes_the_bins_does_not_fill_them(self) -> None:
        bins = ndb(normal(1_001, 3, 1), normal(300, 3, 2))
        assert (bins.real.sum(), bins.generated.sum()) == (501, 300)

    def test_null_rate_is_the_level(self) -> None:
        rates = [
            ndb(normal(1_000, 3, 2 * i), normal(1_000, 3, 2 * i + 1), bins=20, seed=i).different.value
            for i in range(50)
        ]
        # bins are not independent: the error over fifty draws is measured
        assert np.mean(rates) == pytest.approx(0.05, abs=3 * np.std(rates) / math.sqrt(50) + 0.005)
        # and in many dimensions, where centres fit what made them
        wide = [ndb(normal(600, 50, 2 * i), normal(600, 50, 2 * i + 1), seed=i).different.value for i in range(15)]
        assert np.mean(wide) < 0.1

    def test_collapse_and_shift_are_seen(self) -> None:
        real, generated = normal(2_000, 4, 1), normal(2_000, 4, 2)
        equal, shifted = ndb(real, generated), ndb(real, generated + 1)
        assert equal.different.value < 0.15
        assert shifted.different.value > 0.7
        assert shifted.divergence.value > 5 * equal.divergence.value
        collapsed = ndb(real, generated[:1].repeat(2_000, 1))
        assert collapsed.different.value > 0.7
        assert collapsed.divergence.value > 0.6
        lost = ndb(real, generated[generated[:, 0] > 0])
        assert 0.3 < lost.different.value < 1

    def test_more_noise_is_further(self) -> None:
        real = normal(1_500, 4, 1)
        values = [ndb(real, normal(1_500, 4, 2) + noise * normal(1_500, 4, 3)) for noise in (0, 0.5, 1, 3)]
        divergences = [bins.divergence.value for bins in values]
        assert divergences == sorted(divergences)

    def test_spread_is_that_of_fresh_draws(self) -> None:
        rng = np.random.default_rng(0)
        p, q = rng.dirichlet(np.full(20, 5.0)), rng.dirichlet(np.full(20, 5.0))
        draws = [compare_bins(rng.multinomial(500, p), rng.multinomial(400, q)) for _ in range(60)]
        for name in ("different", "divergence"):
            values = [getattr(draw, name).value for draw in draws]
            assert np.mean([getattr(draw, name).spread for draw in draws]) == pytest.approx(np.std(values), rel=0.35)

    def test_rare_bins_are_one(self) -> None:
        bins = compare_bins(np.array([100, 90, 3, 0, 1]), np.array([90, 100, 0, 4, 1]))
        assert bins.real.tolist() == [100, 90, 4]
        assert bins.generated.tolist() == [90, 100, 5]
        assert "3 of 5 bins are too rare for the test and taken as one" in bins.different.notes

    def test_order_is_nothing_to_the_generated(self) -> None:
        real, generated = normal(400, 3, 1), normal(300, 3, 2)
        assert ndb(real, generated).different == ndb(real, shuffled(generated)).different

    def test_what_is_refused(self) -> None:
        with pytest.raises(DataError, match="too few for bins"):
            ndb(normal(30, 2, 1), normal(30, 2, 1))
        with pytest.raises(DataError, match="never vary"):
            ndb(torch.ones(100, 2), normal(100, 2, 1))
        with pytest.raises(DataError, match="without examples"):
            compare_bins(np.array([1, 2]), np.array([0, 0]))
        with pytest.raises(DataError, match=r"need \(bins,\)"):
            compare_bins(np.array([1, 2]), np.array([1, 2, 3]))


class TestBirthday:
    def test_half_a_chance(self) -> None:
        assert half_chance(1_000) == pytest.approx(1.177 * math.sqrt(1_000), rel=1e-3)
        assert round(half_chance(1_000)) == 37
        none_equal = math.prod(1 - i / 1_000 for i in range(37))
        assert none_equal == pytest.approx(0.5, abs=0.015)

    def test_uniform_support_is_found(self) -> None:
        images = normal(1_000, 8, 1)
        rng = torch.Generator().manual_seed(2)
        draws = [support(partners(images[torch.randint(1_000, (700,), generator=rng)], 0)) for _ in range(40)]
        # it is the share of equal pairs that is unbiased, not its inverse
        shares = [1 / draw.value for draw in draws]
        assert np.mean(shares) == pytest.approx(1 / 1_000, abs=4 * np.std(shares) / math.sqrt(40))
        spreads = [draw.spread for draw in draws]
        assert None not in spreads
        assert np.mean(spreads) == pytest.approx(np.std([draw.value for draw in draws]), rel=0.4)

    def test_by_hand(self) -> None:
        # of three alike and one other, three of six pairs are equal
        measure = support(partners(torch.tensor([[0.0], [0.0], [0.0], [9.0]]), 0.5))
        assert measure.value == 2
        replicates = [1 / 3, 1 / 3, 1 / 3, 1]  # shares without each
        error = math.sqrt(3 * np.var(replicates))
        assert measure.spread == pytest.approx(4 * error)
        assert measure.notes[0].startswith("3 pairs of duplicates among 4; 1.67 draws")

    def test_collapse_is_seen_and_all_of_one_is_one(self) -> None:
        real, generated = normal(2_000, 16, 1), normal(300, 16, 2)
        again = generated[torch.randint(300, (2_000,), generator=torch.Generator().manual_seed(3))]
        measure = birthday(real, again + 1e-3 * normal(2_000, 16, 4))
        assert measure.value == pytest.approx(300, rel=0.1)
        assert birthday(real, real[:1].repeat(50, 1)).value == 1
        assert birthday(real, normal(2_000, 16, 5)).value > 1e5

    def test_no_duplicates_give_a_bound(self) -> None:
        measure = birthday(normal(100, 4, 1), normal(101, 4, 2), threshold=0)
        assert measure.value == 101 * 100 / 6
        assert measure.spread is None
        assert measure.notes[0] == "no duplicates among 101: 95% sure to be more than this"
        assert measure.notes[1].endswith("as given")
        assert measure.notes[2] == "by it 100 real images have 1.65e+03 or more"

    def test_threshold_and_order(self) -> None:
        real = torch.arange(2_000.0)[:, None] ** 1.01
        assert duplicate_threshold(real) == pytest.approx(nearest_other(real).sort().values[1].item())
        generated = normal(500, 4, 1)
        assert birthday(normal(900, 4, 2), generated) == birthday(normal(900, 4, 2), shuffled(generated))
        with pytest.raises(DataError, match="2 generated features are too few"):
            birthday(real, real[:2])


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(200) % 4


@pytest.fixture(scope="module")
def real(labels: np.ndarray) -> np.ndarray:
    return blobs(200, 1, labels=labels)


@pytest.fixture(scope="module")
def baseline(real: np.ndarray, labels: np.ndarray) -> Iterator[Classifier]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_LEAST_STEPS", 25)
        patch.setattr(probe, "_STEPS", 25)
        yield Classifier(real, labels)


class TestClassificationAccuracy:
    def test_good_samples_score_high_and_exchanged_labels_low(
        self, real: np.ndarray, labels: np.ndarray, baseline: Classifier
    ) -> None:
        good = blobs(200, 2, labels=labels)
        trained = gan_train(good, labels, real, labels, baseline=baseline)
        assert trained.value > 0.95
        assert trained.notes[0] == "learned from 200 images, tested on 200"
        assert "learned from 200 real images, 100.0% of real test images are found" in trained.notes
        assert gan_test(baseline, good, labels).value > 0.95
        assert gan_test(baseline, good, (labels + 1) % 4).value < 0.05

    def test_what_collapse_and_missing_classes_do(
        self, real: np.ndarray, labels: np.ndarray, baseline: Classifier
    ) -> None:
        good = blobs(200, 2, labels=labels)
        collapsed = good[labels]  # one image a class
        assert gan_test(baseline, collapsed, labels, test=real, test_labels=labels).value == 1
        some = labels < 2
        lost = gan_train(good[some], labels[some], real, labels)
        assert lost.value == pytest.approx(0.5, abs=0.05)
        assert "no image to learn from of classes 2, 3" in lost.notes
        assert lost.spread == pytest.approx(math.sqrt(lost.value * (1 - lost.value) / 200))

    def test_seeds_decide_and_the_default_generator_rests(
        self, real: np.ndarray, labels: np.ndarray, baseline: Classifier
    ) -> None:
        hard = noisy(real, 120)
        state = torch.get_rng_state()
        again, other = Classifier(real, labels), Classifier(real, labels, seed=1)
        assert torch.equal(torch.get_rng_state(), state)
        assert again.accuracy(hard, labels) == baseline.accuracy(hard, labels)
        assert other.accuracy(hard, labels).value != baseline.accuracy(hard, labels).value

    def test_what_is_refused(self, real: np.ndarray, labels: np.ndarray, baseline: Classifier) -> None:
        with pytest.raises(DataError, match="all of one class"):
            Classifier(real, np.zeros(200, int))
        with pytest.raises(DataError, match="49 generated images are too few"):
            gan_train(real[:49], labels[:49], real, labels)
        with pytest.raises(DataError, match="the classifier learned"):
            gan_test(baseline, blobs(9, 1, size=8), labels[:9])
        with pytest.raises(DataError, match="labels for 200"):
            Classifier(real, labels[:100])
        with pytest.raises(DataError, match="hold 3, and there are 2 classes"):
            Classifier(real, labels, classes=2)


class Corners:
    """The mean of each quarter: features, and logits of the four classes of `blobs`."""

    name, version, resize, range, accuracy, notes = "corners", "1", "none", "0 … 255", None, ()

    def features(self, images: Tensor) -> Tensor:
        half = images.shape[1] // 2
        return images.float().unfold(1, half, half).unfold(2, half, half).mean((3, 4, 5)).flatten(1)

    def logits(self, images: Tensor) -> Tensor:
        return self.features(images)


class TestByName:
    """`evaluate_images` gives each metric what it is a function of."""

    def test_every_one_is_what_its_function_gives(self, real: np.ndarray, labels: np.ndarray) -> None:
        made_labels = (labels + 1) % 4
        made, apart = blobs(200, 5, labels=made_labels), blobs(200, 6, labels=labels)
        extractor = Corners()
        r, g, h = (extractor.features(torch.from_numpy(x)) for x in (real, made, apart))
        p = g.softmax(1)
        expected = {
            "fid-infinity": fid_infinity(r, g, seed=3),
            "class-fid": class_fid(r, g, labels, made_labels),
            "predicted-class-fid": class_fid(r, g, labels, p.argmax(1)),
            "inception-score": inception_score(p, seed=3),
            "ms-ssim": ms_ssim_diversity(made, real=real, seed=3),
            "class-ms-ssim": ms_ssim_diversity(made, p.argmax(1), real=real, real_labels=labels, seed=3),
            "sliced-wasserstein": sliced_wasserstein(real, made, seed=3),
            "ndb": ndb(r, g, seed=3).different,
            "bin-divergence": ndb(r, g, seed=3).divergence,
            "birthday": birthday(r, g),
            "memorisation": memorisation(g, r, h, seed=3),
        }
        scores = evaluate_images(
            made,
            real,
            metrics=list(expected),
            features=extractor,
            generated_labels=made_labels,
            real_labels=labels,
            held_out=apart,
            seed=3,
        )
        for score, measure in zip(scores, expected.values(), strict=True):
            assert score.value == pytest.approx(measure.value, rel=1e-5), score.metric
            assert score.notes[: len(measure.notes)] == measure.notes
            assert (score.spread is None) == (measure.spread is None)

    def test_classifiers_of_labelled_samples(self, real: np.ndarray, labels: np.ndarray, baseline: Classifier) -> None:
        made, apart = ([(blobs(200, seed, labels=some), some)] for seed, some in ((5, labels), (6, (labels + 2) % 4)))
        trained, tested = evaluate_images(
            made, real, metrics=["gan-train", "gan-test"], real_labels=labels, held_out=apart
        )
        assert trained.value > 0.95
        assert tested.value > 0.95
        assert trained.extractor is None
        assert any("learned from 200 real images" in note for note in tested.notes)

    def test_by_default_what_cannot_judge_is_left_out_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        names = [s.metric for s in evaluate_images(blobs(10, 1, size=6), blobs(60, 2, size=6), features=Corners())]
        assert {"fid", "birthday", "ms-ssim", "inception-score"} < set(names)
        assert not {"sliced-wasserstein", "ndb", "memorisation", "class-fid"} & set(names)
        assert "sliced-wasserstein is left out: images of 6×6 pixels hold no patch of 7×7" in caplog.text
        with pytest.raises(DataError, match="no patch"):
            evaluate_images(blobs(10, 1, size=6), blobs(60, 2, size=6), metrics=["sliced-wasserstein"])
