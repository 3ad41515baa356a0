"""Metrics of what a system can do, on systems made by hand whose true scores are known."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.batch import from_storage
from kallima.data.spec import Attributes, Field, Image, Label, Points, Spec
from kallima.errors import DataError, UsageError
from kallima.evaluation import METRICS, SYSTEM_METRICS, Score, Subject, evaluate_system
from kallima.evaluation.capability.subject import Seen
from kallima.evaluation.features.attributes import AttributeProbe
from kallima.evaluation.latent.clustering import named_accuracy
from kallima.evaluation.reference import Reference
from kallima.evaluation.systems import divide
from kallima.judging import judge_run


@pytest.fixture(autouse=True)
def _short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the probes have to tell apart here needs no long training."""
    for name in ("_STEPS", "_LEAST_STEPS"):
        monkeypatch.setattr(f"kallima.evaluation.features.probe.{name}", 40)


class Data:
    """Examples in memory, read as a data set is."""

    view = "as it is"

    def __init__(self, spec: Mapping[str, Field], columns: Mapping[str, Any], *, split: str = "train"):
        self.spec, self.name, self.split = Spec(spec), "by hand", split
        self.columns = {name: torch.as_tensor(values) for name, values in columns.items()}
        self.fingerprint = str(sorted((name, values.tolist()) for name, values in self.columns.items()))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {name: values[torch.as_tensor(indices)] for name, values in self.columns.items()}


class Made:
    """What every system has; the tests add what theirs can do."""

    device = torch.device("cpu")

    def __init__(self, spec: Mapping[str, Field]):
        self.spec = Spec(spec)


class Classifier(Made):
    """Says of point x that its class is x, but of some that it is the next one."""

    def __init__(self, spec: Mapping[str, Field], wrong: tuple[float, ...] = ()):
        super().__init__(spec)
        self.wrong = wrong

    def classify(self, examples: Tensor) -> Tensor:
        label = self.spec["label"]
        assert isinstance(label, Label)
        classes = list(label.classes)
        # the class by its name, which is the point's first number; its second one tells points apart
        found = [
            classes.index(str((int(a) + (round(float(b)) in self.wrong)) % len(classes))) for a, b in examples.tolist()
        ]
        return torch.nn.functional.one_hot(torch.tensor(found), len(classes)).float().log()


def points(labels: list[int], *, classes: tuple[str, ...] = ("0", "1"), split: str = "train") -> Data:
    values = np.array([[float(classes[label]), place] for place, label in enumerate(labels)], np.float32)
    return Data({"points": Points(2), "label": Label(classes)}, {"points": values, "label": labels}, split=split)


def score(name: str, system: Any, real: Any, known: Any = None, **options: Any) -> Score:
    subject = Subject(system, real, real if known is None else known, **options)
    own, _ = divide([name], subject)
    (found,) = evaluate_system(subject, own)
    assert (found.metric, found.direction) == (name, METRICS[name].direction)
    assert Score.from_json(found.to_json()) == found
    return found


class TestError:
    def test_three_of_ten(self) -> None:
        data = points([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
        found = score("error", Classifier(data.spec, wrong=(2, 3, 8)), data, points([0, 1]))
        assert found.value == 0.3
        assert found.spread == pytest.approx(math.sqrt(0.3 * 0.7 / 10))
        told = (found.real, found.generated, found.data, found.split, found.data_fingerprint, found.extractor)
        assert told == (10, 0, "by hand", "train", data.fingerprint, None)
        assert not found.notes

    def test_classes_go_by_their_names(self) -> None:
        data = points([0, 1, 2, 0, 1], classes=("0", "1", "2"))
        system = Classifier({"points": Points(2), "label": Label(("2", "0", "1"))})
        assert score("error", system, data).value == 0
        some = points([1, 0, 1], classes=("0", "2"))
        assert score("error", system, some).value == 0
        assert Seen(some, system.spec, 0).labels.tolist() == [0, 1, 0]  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="error needs data of the run's own classes, and '3' is none of them"):
            score("error", system, points([0, 1], classes=("0", "3")))

    def test_beside_its_baseline(self) -> None:
        data = points([0, 1] * 5)
        system = Classifier(data.spec, wrong=(1,))
        with pytest.raises(UsageError, match="baseline-error needs a system that trains a baseline beside it"):
            score("baseline-error", system, data)
        system.baseline = Classifier(data.spec, wrong=(1, 2, 3, 4))  # type: ignore[attr-defined]
        subject = Subject(system, data, points([0, 1]))
        own, others = divide(None, subject)
        assert (own, others) == (["error", "baseline-error"], [])
        assert [each.value for each in evaluate_system(subject, own)] == [0.1, 0.4]

    def test_examples_that_it_learned_from_are_told(self) -> None:
        data = points([0, 1, 0])
        assert "that it was trained on" in score("error", Classifier(data.spec), data).notes[0]
        again = points([0, 1, 0])  # opened anew
        assert score("error", Classifier(data.spec), again, data).notes
        assert not score("error", Classifier(data.spec), points([0, 1, 0], split="test"), data).notes

    def test_an_answer_of_nan_is_no_class(self) -> None:
        class Broken(Classifier):
            def classify(self, examples: Tensor) -> Tensor:
                return super().classify(examples) * math.nan

        data = points([0, 1])
        with pytest.raises(DataError, match="Broken answers NaN when classifying"):
            score("error", Broken(data.spec), data)


class Asked(Made):
    """Makes of the class asked for what `make` says."""

    def __init__(self, spec: Mapping[str, Field], make: Any, fields: tuple[str, ...] = ()):
        super().__init__(spec)
        self.conditions, self.make = Conditions(self.spec, fields), make

    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        assert condition is not None
        assert len(condition) == count
        return self.make(condition)


def bars(classes: int = 3, each: int = 30) -> Data:
    """Noisy grey images 12×12 with a bright bar in a place of its own a class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (classes * each, 12, 12, 1)).astype(np.uint8)
    labels = np.arange(classes * each) % classes
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label : 4 * label + 3] += 190
    names = tuple("abc"[:classes])
    return Data({"image": Image(1, 12, 12), "label": Label(names)}, {"image": images, "label": labels})


class TestLabelRecovery:
    def made(self, data: Data, choose: Any) -> Asked:
        """Make a system that gives the real images of the classes that `choose` makes of those asked for."""
        images = from_storage(data.columns["image"])
        return Asked(data.spec, lambda condition: images[choose(condition.argmax(1))])  # image k is of class k, k < 3

    def test_who_obeys_who_ignores_and_who_errs(self) -> None:
        data = bars()
        obeys, ignores, errs = (
            score("label-recovery", self.made(data, choose), data, count=300)
            for choose in (lambda c: c, torch.zeros_like, lambda c: (c + 1) % 3)
        )
        assert (obeys.value, ignores.value, errs.value) == (1, pytest.approx(1 / 3), 0)
        assert ignores.spread == pytest.approx(math.sqrt(2 / 9 / 300))
        assert (obeys.real, obeys.generated, obeys.extractor) == (0, 300, "probe")
        assert len(str(obeys.extractor_hash)) == 64
        assert obeys.extractor_accuracy == 1
        assert "100 of each of 3 classes; the least recovered is b, with 0.0%" in ignores.notes
        assert any(note.startswith("the probe learned from") for note in obeys.notes)

    def test_every_class_is_asked_for_alike_however_rare_it_is(self) -> None:
        data = bars()
        asked: list[Tensor] = []

        def make(condition: Tensor) -> Tensor:
            asked.append(condition)
            return torch.zeros(len(condition), 1, 12, 12)

        system = Asked(data.spec, make)
        system.conditions.remember(torch.eye(3)[torch.zeros(5_000, dtype=torch.int64)])  # all of class a
        found = score("label-recovery", system, data, count=100)
        assert torch.cat(asked).sum(0).tolist() == [34, 34, 34]
        assert found.generated == 102
        (default,) = evaluate_system(Subject(system, data, data), ["label-recovery"])
        assert default.generated == 2_001

    def test_points(self) -> None:
        field = Points(2, offset=(5.0, 5.0), scale=(2.0, 2.0))
        centres = torch.tensor([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0]])
        labels = torch.arange(60) % 3
        places = centres[labels] + torch.linspace(-1, 1, 60)[:, None]
        data = Data({"points": field, "label": Label(("a", "b", "c"))}, {"points": (places - 5) / 2, "label": labels})
        for choose, value in ((lambda c: c, 1.0), (torch.zeros_like, 1 / 3), (lambda c: (c + 1) % 3, 0.0)):
            system = Asked(data.spec, lambda condition, choose=choose: (centres[choose(condition.argmax(1))] - 5) / 2)
            found = score("label-recovery", system, data, count=90)
            assert found.value == pytest.approx(value)
            assert (found.real, found.generated, found.extractor) == (60, 90, None)

    def test_what_cannot_be_asked_or_told_is_said(self) -> None:
        data = bars(each=2)
        make = self.made(data, lambda c: c)
        with pytest.raises(UsageError, match="label-recovery needs 50 labelled examples, and by hand has 6"):
            score("label-recovery", make, data)
        plain = Classifier(data.spec)
        with pytest.raises(UsageError, match="label-recovery needs a system that makes what is asked for, and Cl"):
            score("label-recovery", plain, data)
        both = Asked({**data.spec, "attributes": Attributes(("x",))}, None, ("attributes",))
        with pytest.raises(
            UsageError, match="is asked for a class, and Asked is asked for attributes: choose from att"
        ):
            score("label-recovery", both, data)


def corners(count: int = 240) -> Data:
    """Noisy images 12×12 whose top half is bright or not, and whose left half is darker or not, by fair coins."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 30, (count, 12, 12, 1)).astype(np.uint8) + 100
    has = rng.integers(0, 2, (count, 2))
    images[:, :6] += (has[:, 0] * 100).astype(np.uint8)[:, None, None, None]
    images[:, :, :6] -= (has[:, 1] * 100).astype(np.uint8)[:, None, None, None]
    field = Attributes(("top", "left"))
    return Data({"image": Image(1, 12, 12), "attributes": field}, {"image": images, "attributes": has.astype("f4")})


def test_attribute_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallima.evaluation.capability.recovery.AttributeProbe", cache(AttributeProbe))  # trained once
    data = corners()
    images, has = from_storage(data.columns["image"]), data.columns["attributes"]

    def giving(change: Any) -> Asked:
        """Make a system that gives a real image with the attributes that `change` makes of those asked for."""

        def make(condition: Tensor) -> Tensor:
            alike = (change(condition)[:, None] == has).all(2)
            return images[alike.float().argmax(1)]

        return Asked(data.spec, make)

    changes = {
        1.0: lambda c: c,
        0.5: torch.zeros_like,
        0.75: lambda c: c * torch.tensor([1.0, 0.0]),
        0.0: lambda c: 1 - c,
    }
    for value, change in changes.items():
        found = score("attribute-recovery", giving(change), data, count=80)
        assert found.value == value
        assert (found.generated, found.extractor, found.extractor_accuracy) == (80, "attribute-probe", 1)
        if value == 0.75:
            assert "20 with and 20 without each of 2: top 100.0%, left 50.0%" in found.notes
            assert found.spread == pytest.approx(math.sqrt(0.25 / 40) / 2)
    with pytest.raises(UsageError, match="needs a system that is asked for attributes, and Asked is asked for label"):
        score("attribute-recovery", Asked(bars().spec, None), bars())


class Encoder(Made):
    def encode(self, examples: Tensor) -> Tensor:
        return examples


def line(values: list[float], labels: list[int] | None, *, field: Points | None = None, split: str = "train") -> Data:
    columns: dict[str, Any] = {"points": torch.tensor(values)[:, None]}
    spec: dict[str, Field] = {"points": field or Points(1)}
    if labels is not None:
        columns["label"], spec["label"] = torch.tensor(labels), Label(("a", "b"))
    return Data(spec, columns, split=split)


class TestNearestCode:
    KNOWN = line([0.0, 1.0, 10.0], [0, 1, 0])

    def test_by_hand(self) -> None:
        queries = line([0.4, 0.6, 9.0], [0, 0, 0], split="test")
        found = score("nearest-code-accuracy", Encoder(self.KNOWN.spec), queries, self.KNOWN)
        assert found.value == pytest.approx(2 / 3)
        assert (found.real, found.split) == (3, "test")
        assert found.notes == ("one nearest of 3 codes of by hand (train), 1 numbers each, Euclidean",)

    def test_no_example_is_its_own_neighbour(self) -> None:
        system = Encoder(self.KNOWN.spec)
        alone = score("nearest-code-accuracy", system, self.KNOWN)
        assert alone.value == 0
        assert "without itself" in alone.notes[0]
        anew = line([0.0, 1.0, 10.0], [0, 1, 0])
        assert score("nearest-code-accuracy", system, anew, self.KNOWN).value == 0
        twice = line([0.0, 0.0, 1.0, 1.0, 10.0, 10.0], [0, 0, 1, 1, 0, 0])
        assert score("nearest-code-accuracy", system, twice).value == 1
        quarrel = line([0.0, 0.0, 5.0, 5.0], [0, 1, 0, 0])  # two equal codes of unlike classes
        assert score("nearest-code-accuracy", system, quarrel).value == 0.5

    def test_other_data_is_seen_in_the_units_of_the_first(self) -> None:
        other = line([0.2, 0.3, 4.5], [0, 0, 0], field=Points(1, offset=(1.0,), scale=(2.0,)))
        system = Encoder({"points": Points(1, offset=(1.0,), scale=(1.0,)), "label": Label(("a", "b"))})
        assert next(Seen(other, system.spec, 0).batches()).tolist() == pytest.approx(  # type: ignore[arg-type]
            np.array([[0.4], [0.6], [9.0]])
        )

    def test_without_labels(self) -> None:
        with pytest.raises(UsageError, match="nearest-code-accuracy needs labels, and by hand has none"):
            score("nearest-code-accuracy", Encoder(self.KNOWN.spec), line([1.0, 2.0], None), self.KNOWN)
        bare = line([0.0, 1.0], None)
        with pytest.raises(UsageError, match="needs the labels of the training data, and by hand has none"):
            score("nearest-code-accuracy", Encoder(bare.spec), self.KNOWN, bare)


class TestClusters:
    def test_by_hand(self) -> None:
        class Sorter(Made):
            def cluster(self, examples: Tensor) -> Tensor:
                return torch.eye(4)[examples[:, 0].long()].log()

        data = line([0.0, 0.0, 2.0, 2.0, 1.0, 3.0], [0, 0, 1, 1, 1, 0])
        found = score("cluster-accuracy", Sorter(data.spec), data)
        assert found.value == pytest.approx(4 / 6)
        assert "100.0% if each of 4 clusters is named by its most common class (many to one)" in found.notes

    def test_many_to_one(self) -> None:
        assert named_accuracy(torch.tensor([0, 0, 1, 1, 1]), torch.tensor([7, 7, 7, 3, 3])).value == 0.8
        assert named_accuracy(torch.tensor([0, 0, 1, 1, 1]), torch.zeros(5, dtype=torch.int64)).value == 0.6


class TestCodeMMD:
    class Coder(Encoder):
        """Codes are points, whose first two numbers are noise; the third is far from that of any latent."""

        def __init__(self, spec: Mapping[str, Field], parts: dict[str, slice] | None = None):
            super().__init__(spec)
            self.parts = parts or {"z": slice(0, 2), "c": slice(2, 3)}

        def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
            return torch.cat([torch.randn(count, 2, generator=rng), torch.zeros(count, 1)], 1)

        def decode(self, latents: Tensor) -> Tensor:
            return latents

    def data(self, shift: float) -> Data:
        codes = torch.randn(400, 3, generator=torch.Generator().manual_seed(5)) + torch.tensor([shift, 0.0, 50.0])
        return Data({"points": Points(3)}, {"points": codes})

    def p(self, found: Score) -> float:
        (note,) = (note for note in found.notes if note.startswith("permutation test"))
        return float(note.split("p = ")[1].split()[0])

    def test_a_match_and_a_miss(self) -> None:
        match, miss = (score("code-mmd", self.Coder(data.spec), data) for data in map(self.data, (0.0, 1.0)))
        assert self.p(match) > 0.05
        assert abs(match.value) < 0.01
        assert self.p(miss) == 0.001
        assert miss.value > 0.05
        assert (miss.real, miss.generated) == (400, 400)
        data = self.data(1.0)
        assert score("code-mmd", self.Coder(data.spec), data, count=50).generated == 50

    def test_without_noise(self) -> None:
        data = self.data(0.0)
        with pytest.raises(UsageError, match="code-mmd needs latents with noise 'z', and those of Coder have c"):
            score("code-mmd", self.Coder(data.spec, {"c": slice(0, 3)}), data)
        with pytest.raises(UsageError, match="needs a system that encodes and decodes latents, and Encoder does not"):
            score("code-mmd", Encoder(data.spec), data)


class TestReconstructions:
    class Brighter(Made):
        def reconstruct(self, examples: Tensor) -> Tensor:
            return examples + 5 / 127.5

    def images(self, spec: Image | None = None) -> Data:
        values = np.random.default_rng(0).integers(0, 250, (20, 8, 8, 1)).astype(np.uint8)
        return Data({"image": spec or Image(1, 8, 8)}, {"image": values}, split="test")

    def test_five_brighter(self) -> None:
        data = self.images()
        system = self.Brighter(data.spec)
        found = score("mse", system, data)
        assert found.value == 25
        assert score("psnr", system, data).value == pytest.approx(10 * math.log10(255**2 / 25))
        assert 0.95 < score("ssim", system, data).value < 1
        assert 0.95 < score("reconstruction-ms-ssim", system, data).value < 1
        told = (found.real, found.generated, found.split, found.range, found.view)
        assert told == (20, 20, "test", "0 … 255", "8×8, 1 channel")
        assert "each image against its own reconstruction" in found.notes

    def test_a_system_without_samples_is_judged_by_all_that_it_can(self) -> None:
        data = self.images()
        subject = Subject(self.Brighter(data.spec), data)
        assert divide(None, subject) == (["mse", "psnr", "ssim", "reconstruction-ms-ssim", "squared-error"], [])
        with pytest.raises(UsageError, match="fid judges samples, and Brighter makes none: choose from mse, psnr"):
            divide(["mse", "fid"], subject)
        with pytest.raises(UsageError, match="Made makes no samples, and nothing else that it does can be judged"):
            divide(None, Subject(Made(data.spec), data))

    def test_images_of_another_size_and_no_images(self) -> None:
        data = self.images()
        with pytest.raises(DataError, match="choose --size and --channels"):
            score("mse", self.Brighter({"image": Image(1, 16, 16)}), data)
        with pytest.raises(UsageError, match="mse compares images, and by hand has none"):
            score("mse", self.Brighter(data.spec), line([0.0, 1.0], None))


class TestDividing:
    class Sampler(Asked):
        def classify(self, examples: Tensor) -> Tensor:
            raise AssertionError("is not asked")

    def test_what_the_system_answers_and_what_its_samples(self) -> None:
        data = bars()
        subject = Subject(self.Sampler(data.spec, None), data, data)
        assert divide(None, subject) == (["error", "label-recovery"], None)
        assert divide(["fid", "error", "kid", "error"], subject) == (["error"], ["fid", "kid"])
        assert divide(["fid"], subject) == ([], ["fid"])
        with pytest.raises(UsageError, match="no metric 'eror'; did you mean 'error'"):
            divide(["eror"], subject)
        with pytest.raises(UsageError, match="psnr compares pairs, and Sampler does not reconstruct"):
            divide(["psnr"], subject)
        unlabelled = Data({"image": Image(1, 12, 12)}, {"image": data.columns["image"]})
        assert divide(None, Subject(subject.system, unlabelled, data)) == (["label-recovery"], None)

    def test_statistics_are_no_examples(self) -> None:
        data = bars()
        statistics = object.__new__(Reference)
        subject = Subject(self.Sampler(data.spec, None), statistics, data)
        assert divide(None, subject) == (["label-recovery"], None)
        with pytest.raises(UsageError, match="error needs real examples, and here are only their statistics"):
            divide(["error"], subject)

    def test_nothing_is_drawn_that_is_not_judged(self) -> None:
        from kallima.evaluation.sets import Truth

        data = points([0, 1] * 30)
        known = points([0, 1] * 30, split="test")

        class Both(Classifier):
            def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
                raise AssertionError("is not drawn")

        def draw(count: int) -> Any:
            raise AssertionError("is not drawn")

        scores = judge_run(Both(data.spec, (1,)), Truth(data, known), draw, metrics=["error"], seed=0)
        assert [each.value for each in scores] == [1 / 60]
        with pytest.raises(UsageError, match="needs a system that encodes, and Both does not: choose from error"):
            judge_run(Both(data.spec), Truth(data, known), draw, metrics=["fid", "nearest-code-accuracy"], seed=0)

    def test_all_are_described(self) -> None:
        of_systems = {name for name, metric in METRICS.items() if metric.field == "system"}
        assert of_systems <= set(SYSTEM_METRICS)
        assert all(METRICS[name].ability for name in of_systems)
        assert set(SYSTEM_METRICS) - of_systems == {"mse", "psnr", "ssim", "reconstruction-ms-ssim"}
        assert [name for name in METRICS if name in SYSTEM_METRICS] == list(SYSTEM_METRICS)
