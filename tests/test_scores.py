"""Scores of images and points: the receipt, the draw of real examples, what is refused."""

import json
import math
import re
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import kallima
from kallima.data.source import PointSource
from kallima.data.spec import Image, Points, Spec
from kallima.errors import DataError, UsageError
from kallima.evaluation import METRICS, Score, evaluate_images, evaluate_points, table
from kallima.evaluation.images import IMAGE_METRICS


class Memory:
    """A data set of one field, with what `Dataset` has."""

    def __init__(self, name: str, values: np.ndarray, field: Any, source: Any = None):
        self.values, self.spec, self.name, self.split = torch.from_numpy(values), Spec({name: field}), "memory", "test"
        self.fingerprint, self.source, self.view = "0", SimpleNamespace() if source is None else source, "as it is"

    def __len__(self) -> int:
        return len(self.values)

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {next(iter(self.spec)): self.values[torch.from_numpy(indices)]}


class Pixels:
    """The plainest extractor: what a user's own looks like."""

    name, version, resize, range, accuracy, notes = "pixels", "1", "none", "0 … 255", None, ("by pixels",)

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1).float()


class Cross(PointSource):
    """Four Gaussians."""

    modes: ClassVar[np.ndarray] = 3.0 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    mode_deviation: ClassVar[float] = 0.1

    def __len__(self) -> int:
        return 0

    def examples(self) -> Any:
        return iter(())

    def fingerprint(self) -> str:
        return ""

    def log_density(self, points: np.ndarray) -> np.ndarray:
        squares = ((points[:, None] - self.modes) ** 2).sum(-1) / (2 * 0.1**2)
        return np.log(np.exp(-squares).mean(1)) - math.log(2 * math.pi * 0.1**2)


NEIGHBOURS = ["precision", "recall", "density", "coverage"]
FEW = ["fid", "kid", *NEIGHBOURS]


def images(count: int, seed: int = 0, spread: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(spread, size=(count, 4, 3, 1), dtype=np.uint8)


def photos(count: int = 300) -> Memory:
    return Memory("image", images(count, 1), Image(1, 4, 3))


def cross(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return Cross.modes[rng.integers(4, size=count)] + 0.1 * rng.standard_normal((count, 2))


def marks(count: int = 500) -> Memory:
    """Four Gaussians as a data set stores them: shifted and scaled."""
    field = Points(2, offset=(1.0, -2.0), scale=(2.0, 0.5))
    stored = (cross(count, 1) - np.array(field.offset)) / np.array(field.scale)
    return Memory("points", stored.astype(np.float32), field, Cross())


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {score.metric: score for score in scores}


class TestImages:
    def test_the_receipt_is_whole(self) -> None:
        scores = evaluate_images(images(200), photos(), features=Pixels(), seed=3)
        # without classes, held-out images and sides that hold a patch
        names = ["fid", "kid", *NEIGHBOURS, "ms-ssim", "ndb", "bin-divergence", "birthday"]
        assert [score.metric for score in scores] == names
        assert scores[6].extractor is None
        for score in scores[:6] + scores[7:]:
            assert (score.real, score.generated, score.data, score.split, score.seed) == (300, 200, "memory", "test", 3)
            assert (score.extractor, score.extractor_hash, score.resize, score.range) == (
                "pixels",
                "1",
                "none",
                "0 … 255",
            )
            assert score.extractor_accuracy is None
            assert score.direction == METRICS[score.metric].direction
            assert score.kallima == kallima.__version__
            assert score.seconds >= 0
            assert score.notes[-1] == "by pixels"
            assert (score.spread is None) == (score.spread_method is None)

    def test_equal_sets_score_well_and_different_ones_badly(self) -> None:
        good = by_name(evaluate_images(images(300), photos(), features="random"))
        bad = by_name(evaluate_images(images(300, spread=60), photos(), features="random"))
        assert good["fid"].value < bad["fid"].value / 3
        assert abs(good["kid"].value) < bad["kid"].value / 10
        assert good["precision"].value > 0.8 > 0.4 > bad["precision"].value
        assert good["coverage"].value > 0.8 > 0.2 > bad["coverage"].value

    def test_order_and_batches_do_not_matter(self) -> None:
        generated = images(1_100)
        shuffled = np.random.default_rng(0).permutation(generated)
        one, other = (by_name(evaluate_images(x, photos(), features="random")) for x in (generated, shuffled))
        assert len(one) == 10
        for name in one:
            assert other[name].value == pytest.approx(one[name].value, rel=1e-4, abs=1e-6)

    def test_metrics_are_chosen_by_name(self) -> None:
        scores = evaluate_images(images(20), photos(), metrics=["recall", "fid", "recall"], features=Pixels())
        assert [score.metric for score in scores] == ["recall", "fid"]
        with pytest.raises(UsageError, match=r"no metric 'fdi'; did you mean 'fid'\?"):
            evaluate_images(images(20), photos(), metrics=["fdi"], features=Pixels())
        with pytest.raises(UsageError, match="modes judges points, and the data is images"):
            evaluate_images(images(20), photos(), metrics=["modes"], features=Pixels())
        with pytest.raises(UsageError, match="no features 'pixel'"):
            evaluate_images(images(20), photos(), features="pixel")

    def test_real_examples_are_drawn_with_the_seed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kallima.evaluation.examples.REAL_LIMIT", 250)
        many = photos()
        seen: list[Tensor] = []

        class Spy(Pixels):
            def features(self, images: Tensor) -> Tensor:
                seen.append(images)
                return super().features(images)

        draws = []
        for seed in (0, 0, 1):
            seen.clear()
            (score,) = evaluate_images(images(10), many, metrics=["precision"], features=Spy(), seed=seed)
            assert score.real == 250
            draws.append(torch.cat(seen[:-1]))
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])

    def test_the_probe_of_other_data_than_is_judged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        monkeypatch.setattr(
            "kallima.evaluation.images.make_extractor", lambda name, data, device: asked.append(data) or Pixels()
        )
        train, test = photos(), photos()
        evaluate_images(images(9), test, metrics=["kid"], labelled=train)
        evaluate_images(images(9), test, metrics=["kid"])
        assert asked == [train, test]

    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (images(1), "1 samples cannot be judged"),
            (images(0), "0 samples cannot be judged"),
            (images(9).astype(np.float32), "float32, images need to be uint8"),
            (images(9)[..., 0], r"shape \(9, 4, 3\), images need \(N, height, width, 1, 3 or 4 channels\)"),
            (images(9).repeat(3, 3), "choose --size and --channels"),
        ],
    )
    def test_samples_that_are_refused(self, samples: np.ndarray, message: str) -> None:
        with pytest.raises(DataError, match=message):
            evaluate_images(samples, photos(), features=Pixels())

    def test_data_that_is_refused(self) -> None:
        with pytest.raises(DataError, match="the image metrics needs 'image'"):
            evaluate_images(images(9), marks())
        with pytest.raises(DataError, match="memory has 1 examples"):
            evaluate_images(images(9), photos(1), features=Pixels())

        class Broken(Pixels):
            def features(self, images: Tensor) -> Tensor:
                return super().features(images) / 0

        with pytest.raises(DataError, match="pixels features of the real images hold NaN"):
            evaluate_images(images(9), photos(), features=Broken())

    def test_sets_that_never_vary(self) -> None:
        flat = Memory("image", np.full((30, 4, 3, 1), 77, np.uint8), Image(1, 4, 3))
        scores = by_name(evaluate_images(np.full((20, 4, 3, 1), 77, np.uint8), flat, features="random"))
        assert scores["fid"].value == pytest.approx(0, abs=1e-9)
        assert scores["precision"].value == scores["recall"].value == scores["coverage"].value == 1
        assert all(math.isfinite(score.value) for score in scores.values())

    def test_read_only_samples_are_read(self) -> None:
        samples = images(9)
        samples.flags.writeable = False
        assert len(evaluate_images(samples, photos(), metrics=FEW, features=Pixels())) == 6


class TestPoints:
    def test_a_perfect_generator_is_judged_in_the_data_s_own_units(self) -> None:
        scores = by_name(evaluate_points(cross(2_500, 5).astype(np.float32), marks(2_500)))
        always = ["energy-distance", "mmd", "wasserstein"]
        assert list(scores) == ["modes", "high-quality", "reverse-kl", "log-density", *always]
        assert scores["modes"].value == 4
        assert scores["high-quality"].value == pytest.approx(0.9889, abs=0.008)
        assert scores["reverse-kl"].value < 0.003
        entropy = 1 + math.log(2 * math.pi * 0.01) + math.log(4)  # of four far Gaussians in the plane
        assert scores["log-density"].value == pytest.approx(-entropy, abs=0.1)
        (said,) = re.findall(r"log-density of (\S+);", scores["log-density"].notes[0])
        assert float(said) == pytest.approx(-entropy, abs=0.1)
        assert scores["energy-distance"].value == pytest.approx(0, abs=0.01)
        assert scores["mmd"].value == pytest.approx(0, abs=0.003)
        (p,) = re.findall(r"p = (\S+) over", scores["mmd"].notes[0])
        assert float(p) > 0.01
        assert scores["wasserstein"].value < 0.5
        assert scores["wasserstein"].range == "the data's own units"
        assert scores["modes"].extractor is None
        assert (scores["modes"].real, scores["modes"].generated) == (2_500, 2_500)

    def test_collapse_is_seen(self) -> None:
        one = Cross.modes[:1] + 0.1 * np.random.default_rng(0).standard_normal((500, 2))
        scores = by_name(evaluate_points(one, marks()))
        assert scores["modes"].value == 1
        assert scores["reverse-kl"].value == pytest.approx(math.log(4))
        assert scores["energy-distance"].value > 1
        assert "p = 0.001 over" in scores["mmd"].notes[0]
        assert scores["wasserstein"].value > 2

    def test_points_without_modes_or_density_still_have_a_score(self) -> None:
        data = Memory("points", cross(100).astype(np.float32), Points(2))
        assert [score.metric for score in evaluate_points(cross(50), data)] == ["energy-distance", "mmd", "wasserstein"]
        with pytest.raises(UsageError, match="modes needs a point set whose modes are known"):
            evaluate_points(cross(50), data, metrics=["modes"])
        with pytest.raises(UsageError, match="log-density needs a point set whose density is known"):
            evaluate_points(cross(50), data, metrics=["log-density"])
        with pytest.raises(UsageError, match="fid judges images, and the data is points"):
            evaluate_points(cross(50), data, metrics=["fid"])

    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (np.zeros((9, 3)), r"shape \(9, 3\), the data's points need \(N, 2\)"),
            (np.zeros(9), r"shape \(9,\)"),
            (np.zeros((1, 2)), "1 samples cannot be judged"),
            (np.array([["a", "b"]] * 3), "points need to be numbers"),
            (np.array([[0, 1], [math.nan, 1], [1, math.inf]]), "2 of 3 samples hold NaN or infinity"),
        ],
    )
    def test_samples_that_are_refused(self, samples: np.ndarray, message: str) -> None:
        with pytest.raises(DataError, match=message):
            evaluate_points(samples, marks())

    def test_the_embedded_ring(self) -> None:
        from kallima.data.points import Ring

        ring = Ring("train")
        data = Memory("points", ring.draw(500, np.random.default_rng(0)), Points(2), ring)
        scores = by_name(evaluate_points(ring.draw(500, np.random.default_rng(1)), data))
        assert scores["modes"].value == 8
        assert scores["high-quality"].value == pytest.approx(0.9889, abs=0.015)


class TestScore:
    def test_json_both_ways(self) -> None:
        for score in evaluate_points(cross(50), marks()):
            assert Score.from_json(json.loads(json.dumps(score.to_json(), allow_nan=False))) == score

    def test_the_table_is_aligned_and_says_each_thing_once(self) -> None:
        scores = evaluate_images(images(1_200), photos(), metrics=FEW, features=Pixels())
        lines = table(scores).splitlines()
        assert len({line.index(" 1,200") for line in lines[1:7]}) == 1
        assert lines[7] == "data: memory, split test, seed 0"
        assert lines.count("- by pixels") == 1
        assert "- precision, recall: k = 3 nearest neighbours" in lines
        assert table([]) == "no scores"

    @pytest.mark.parametrize(
        ("value", "spread", "shown"),
        [
            (12.3456, 0.21, "12.35"),
            (0.000123, 0.00004, "0.000123"),
            (8.0, None, "8"),
            (0.98765, 0.0, "0.9877"),
            (1234.5, 31.0, "1234"),
        ],
    )
    def test_digits_follow_the_error(self, value: float, spread: float | None, shown: str) -> None:
        (score,) = evaluate_points(cross(9), marks(), metrics=["modes"])
        changed = Score.from_json({**score.to_json(), "value": value, "spread": spread})
        assert shown in table([changed]).splitlines()[1].split()

    def test_every_metric_is_listed_with_its_direction(self) -> None:
        assert {name for name, metric in METRICS.items() if "image" in metric.field.split(" or ")} == set(IMAGE_METRICS)
        assert METRICS["fid"].direction == METRICS["reverse-kl"].direction == "lower"
        assert METRICS["recall"].direction == METRICS["modes"].direction == "higher"
