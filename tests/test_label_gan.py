"""Several labels of an image: the losses by hand, what the adversary may and may not see, F1, and labels in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as Pillow
from sklearn.metrics import f1_score
from torch import Tensor

import kallima
from kallima.cli.labelling import COMMANDS
from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Field, Image, Label, Points, Spec
from kallima.errors import DataError, UsageError
from kallima.evaluation.systems import Subject, divide
from kallima.labelling import label
from kallima.labelling.images import label_images
from kallima.layers.modes import evaluating
from kallima.networks.classifier import BACKBONES, LabelDiscriminator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipes
from kallima.system import Classifies, Samples, Tags, capabilities
from kallima.systems.tagging.label_classifier import LabelClassifier
from kallima.systems.tagging.label_gan import LabelGAN, softened
from kallima.training.trainer import Trainer
from tests.test_learning import QUIET
from tests.test_system_metrics import Data, Made, score

SPEC = Spec({"image": Image(1, 8, 8), "attributes": Attributes(("sea", "sun", "sand"))})


def build(**options: Any) -> LabelGAN:
    torch.manual_seed(0)
    return recipes()["label-gan"].build(SPEC, **{"width": 4, "hidden": 16, "discriminator_width": 16, **options})  # type: ignore[return-value]


def batch(seed: int, count: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 1, 8, 8, generator=rng) * 2 - 1
    return Batch({"image": image, "attributes": torch.randint(2, (count, 3), generator=rng).float()})


def test_the_losses_are_those_of_the_card():
    system, data = build(adversarial_weight=3.0), batch(1)
    with evaluating(system):  # without dropout
        seen = system.classifier.body(data["image"])
        logits = system.classifier.head(seen)
        p, y = logits.sigmoid(), data["attributes"]

        def judged(labels: Tensor) -> Tensor:
            return torch.sigmoid(system.discriminator(seen, labels))

        torch.manual_seed(4)
        shown = y + (1 - 2 * y) * 0.5 * torch.rand(6, 3)
        torch.manual_seed(4)
        terms, notes = system.discriminator_loss(data)
        torch.testing.assert_close(terms["real"], -judged(shown).log().mean())
        torch.testing.assert_close(terms["fake"], -(1 - judged(p)).log().mean())
        assert notes["accuracy"] == (judged(shown) > judged(p)).float().mean()
        terms, notes = system.classifier_loss(data)
        nats = -(y * p.log() + (1 - y) * (1 - p).log()).sum(1).mean()
        torch.testing.assert_close(terms["classification"], nats)
        torch.testing.assert_close(terms["adversarial"], -3.0 * judged(p).log().mean())
        assert list(terms) == ["classification", "adversarial"]
        assert notes["label_accuracy"] == ((p > 0.5) == (y > 0.5)).float().mean()


def test_the_baseline_is_the_same_classifier_without_the_adversary():
    torch.manual_seed(0)
    plain, data = recipes()["label-classifier"].build(SPEC, width=4, hidden=16), batch(1)
    assert isinstance(plain, LabelClassifier)
    own, other = plain.classifier.state_dict(), build().classifier.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)
    with evaluating(plain):
        terms, _ = plain.loss(data)
        nats = F.binary_cross_entropy(plain.tag(data["image"]), data["attributes"]) * 3
        torch.testing.assert_close(terms["classification"], nats)


def test_with_a_vanishing_weight_it_takes_every_step_of_the_baseline_bit_by_bit():
    """So what comes of the adversary is its own doing, and no matter of other batches or other noise."""
    trained = []
    for name, own in (("label-classifier", {}), ("label-gan", {"adversarial_weight": 1e-30})):
        torch.manual_seed(0)
        system = recipes()[name].build(SPEC, width=4, hidden=16, **own)
        trainer = Trainer(system, {stream: Again(batch(5, 40), 8) for stream in system.streams}, steps=5, seed=3)
        for _ in range(5):
            scalars = trainer.play()
        assert 0 <= scalars["notes/label_accuracy"] <= 1
        trained.append(trainer.average.system.classifier.state_dict())  # type: ignore[union-attr]
    assert all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())


def test_the_adversary_moves_answers_and_not_what_is_seen():
    system, data = build(), batch(2)
    with evaluating(system):
        body = list(system.classifier.body.parameters())
        (terms, _) = system.classifier_loss(data)
        found = torch.autograd.grad(terms["adversarial"], body)
        seen = system.classifier.body(data["image"])
        p = system.classifier.head(seen).sigmoid()
        # of a discriminator that looks at other, equal features
        loss = system.weight * F.softplus(-system.discriminator(seen.detach().clone(), p)).mean()
        for one, other in zip(found, torch.autograd.grad(loss, body), strict=True):
            torch.testing.assert_close(one, other)
        assert any(gradient.abs().max() > 0 for gradient in found)


def test_the_discriminator_sees_image_and_labels_together():
    system = build()
    rng = torch.Generator().manual_seed(0)
    seen, labels = torch.rand(5, system.classifier.head[0].in_features, generator=rng), torch.rand(5, 3, generator=rng)
    scores = system.discriminator(seen, labels)
    assert scores.shape == (5,)
    assert not torch.isclose(scores, system.discriminator(seen, 1 - labels)).any()
    assert not torch.isclose(scores, system.discriminator(1 - seen, labels)).any()


class TestSoftening:
    def test_real_labels_fill_their_side_evenly(self) -> None:
        torch.manual_seed(0)
        labels = torch.randint(2, (100_000, 1)).float()
        shown = softened(labels, 0.5)
        for value, (low, high) in {0.0: (0.0, 0.5), 1.0: (0.5, 1.0)}.items():
            own = shown[labels == value].sort().values
            assert low <= own[0] <= own[-1] <= high
            even = torch.linspace(low, high, len(own))
            assert (own - even).abs().max() < 0.01
        assert torch.equal(softened(labels, 0.0), labels)
        assert softened(labels, 0.2).sub(labels).abs().max() <= 0.2

    def test_each_label_is_drawn_by_itself(self) -> None:
        torch.manual_seed(0)
        shown = softened(torch.zeros(20_000, 2), 0.5)
        assert abs(torch.corrcoef(shown.T)[0, 1]) < 0.03

    def test_without_it_right_answers_are_told_by_not_being_0_and_1(self) -> None:
        """A discriminator is shown answers that are right in every label, however sure: it should have no case."""
        assert self._accuracy(0.0) > 0.99
        assert abs(self._accuracy(0.5) - 0.5) < 0.05

    def _accuracy(self, softening: float) -> float:
        torch.manual_seed(0)
        judge = LabelDiscriminator(2, 5, width=32)
        optimizer = torch.optim.Adam(judge.parameters(), 3e-3)

        def scores(count: int) -> tuple[Tensor, Tensor]:
            labels, nothing = torch.randint(2, (count, 5)).float(), torch.zeros(count, 2)
            sure = 0.5 + 0.5 * torch.rand(count, 5)
            answers = torch.where(labels > 0.5, sure, 1 - sure)
            return judge(nothing, softened(labels, softening)), judge(nothing, answers)

        for _ in range(300):
            loss = sum(non_saturating.discriminator(*scores(64)).values())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            optimizer.step()
        real, fake = scores(4_000)
        return ((real > 0).float().mean() + (fake < 0).float().mean()).item() / 2


class Again:
    """A stream of parts of one batch."""

    def __init__(self, whole: Batch, size: int):
        self.whole, self.size, self.position = whole, size, 0

    def next(self) -> Batch:
        rng = torch.Generator().manual_seed(self.position)
        chosen = torch.randperm(len(self.whole), generator=rng)[: self.size]
        self.position += 1
        return Batch({name: value[chosen] for name, value in self.whole.fields.items()})

    def seek(self, position: int) -> None:
        self.position = position


class Blank:
    """A stream of noise, and beside it "a" and "b", or "c", or "d": nothing that the noise would show."""

    names = ("a", "b", "c", "d")
    sets = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    chances = torch.tensor([0.4, 0.3, 0.3])

    def __init__(self) -> None:
        self.position = 0

    def next(self) -> Batch:
        rng = torch.Generator().manual_seed(self.position)
        self.position += 1
        drawn = torch.multinomial(self.chances, 64, replacement=True, generator=rng)
        return Batch({"image": torch.rand(64, 1, 8, 8, generator=rng) * 2 - 1, "attributes": self.sets[drawn]})

    def seek(self, position: int) -> None:
        self.position = position


def test_answers_are_sets_that_the_data_has_where_the_image_says_nothing():
    """No label is there more often than not, so cross-entropy tells none, which no image has; the adversary asks for
    one of the sets."""
    assert share_of_sets("label-classifier") < 0.1
    steep = {"adversarial_weight": 5.0, "discriminator_learning_rate": 5e-3, "learning_rate": 2e-3}
    assert share_of_sets("label-gan", **steep) > 0.6  # 0.95, 0.94 and 0.81 for seeds 0, 1 and 2


def share_of_sets(recipe: str, **options: Any) -> float:
    torch.manual_seed(0)
    spec = Spec({"image": Image(1, 8, 8), "attributes": Attributes(Blank.names)})
    system = recipes()[recipe].build(spec, width=4, hidden=16, dropout=0.0, average=0.0, **options)
    trainer = Trainer(system, {name: Blank() for name in system.streams}, steps=200)
    for _ in range(200):
        trainer.play()
    assert isinstance(system, Tags)
    told = system.tag(Blank().next()["image"]) > 0.5
    return (told[:, None] == (Blank.sets > 0.5)).all(2).any(1).float().mean().item()


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 48, 64), (3, 33, 40)])
def test_every_backbone_takes_images_of_any_size_and_finds_things_anywhere(name: str, shape: tuple[int, int, int]):
    torch.manual_seed(0)
    body = BACKBONES[name](*shape, channels=4).eval()
    seen = body(torch.rand(2, *shape))
    assert seen.shape == (2, body.features)
    if shape[1] < 33:
        return
    # a dot on black that lies some whole steps of the coarsest grid further right looks the same
    canvas = torch.zeros(2, *shape)
    canvas[0, :, 16, 16] = canvas[1, :, 16, 24] = 1.0
    if name != "resnet" and shape[1] == 48:
        one, other = body(canvas)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_it_can_do_and_what_it_refuses():
    system, data = build(), batch(0)
    assert isinstance(system, Tags)
    assert not isinstance(system, (Classifies, Samples))
    assert capabilities(system) == ["Tags"]
    told = system.train().tag(data["image"])
    assert torch.equal(told, system.tag(data["image"]))  # no dropout
    assert told.shape == (6, 3)
    assert system.training
    assert 0 < told.min() <= told.max() < 1
    for options, message in (
        ({"adversarial_weight": 0.0}, "label-classifier"),
        ({"softening": 0.6}, "--softening is from 0 to 0.5"),
        ({"dropout": 1.0}, "--dropout is a share"),
        ({"hidden": 0}, "--width and --hidden count from 1"),
    ):
        with pytest.raises(UsageError, match=message):
            build(**options)


class Teller(Made):
    """Says of a picture's attributes what its first pixels say."""

    def tag(self, examples: Tensor) -> Tensor:
        return (examples[:, 0, 0, : len(self.spec["attributes"].names)] + 1) / 2  # type: ignore[attr-defined]


def told_of(labels: np.ndarray, answers: np.ndarray, names: tuple[str, ...]) -> Data:
    image = np.zeros((len(labels), 8, 8, 1), np.uint8)
    image[:, 0, : answers.shape[1], 0] = np.rint(255 * answers)
    spec: Mapping[str, Field] = {"image": Image(1, 8, 8), "attributes": Attributes(names)}
    return Data(spec, {"image": image, "attributes": labels.astype(np.float32)}, split="test")


class TestF1:
    def test_they_are_those_of_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        labels, answers = rng.random((300, 4)) < (0.1, 0.3, 0.5, 0.7), rng.random((300, 4))
        data = told_of(labels, answers, tuple("abcd"))
        for average in ("micro", "macro"):
            found = score(f"{average}-f1", Teller(data.spec), data, told_of(labels[:9], answers[:9], tuple("abcd")))
            assert found.value == pytest.approx(f1_score(labels, answers > 0.5, average=average), abs=1e-12)
            assert found.real == 300
            assert found.notes == ("4 labels, told where their probability is above 0.5",)

    def test_their_spread_is_that_of_other_draws(self) -> None:
        rng = np.random.default_rng(1)
        values = []
        for _ in range(40):
            labels = rng.random((60, 2)) < 0.4
            answers = np.clip(labels * 0.4 + rng.random((60, 2)) * 0.6, 0, 1)
            data = told_of(labels, answers, ("a", "b"))
            found = score("micro-f1", Teller(data.spec), data)
            values.append(found.value)
        assert found.spread_method == "jackknife over examples"
        assert found.spread == pytest.approx(np.std(values), rel=0.4)

    def test_labels_go_by_their_names(self) -> None:
        labels, answers = (
            np.array([[1, 0], [0, 1], [1, 1]]),
            np.array([[0.1, 0.9, 0.0], [0.9, 0.2, 0.0], [0.8, 0.7, 1.0]]),
        )
        system = Teller({"image": Image(1, 8, 8), "attributes": Attributes(("b", "a", "c"))})
        data = told_of(labels, answers, ("a", "b"))
        found = score("micro-f1", system, data)
        assert found.value == 1.0
        assert "the data says nothing of 1 others" in found.notes
        with pytest.raises(UsageError, match="own attributes, and 'd' is none of them"):
            score("macro-f1", system, told_of(labels, answers, ("a", "d")))
        with pytest.raises(UsageError, match="needs attributes, and by hand has none"):
            score("macro-f1", system, Data({"image": Image(1, 8, 8)}, {"image": np.zeros((3, 8, 8, 1), np.uint8)}))

    def test_they_are_what_a_teller_is_judged_by(self) -> None:
        data = told_of(np.eye(4)[:, :2], np.eye(4)[:, :2], ("a", "b"))
        assert divide(None, Subject(Teller(data.spec), data, data)) == (["micro-f1", "macro-f1"], [])
        with pytest.raises(UsageError, match="needs a system that tells several labels"):
            divide(["micro-f1"], Subject(Made(data.spec), data, data))


def pictures(folder: Path) -> Path:
    """Write pictures whose left, middle and right are bright or not, and one that is none."""
    folder.mkdir()
    for name in ("100", "011", "000"):
        pixels = np.repeat(np.array([255 * int(bit) for bit in name], np.uint8), 4)[None].repeat(12, 0)
        Pillow.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return folder


class Seer(Made):
    """A label for each third of a picture of 12×12."""

    def tag(self, examples: Tensor) -> Tensor:
        return torch.stack([part.mean((1, 2, 3)) * 0.45 + 0.5 for part in examples.split(4, 3)], 1)


class Namer(Made):
    """One class, of the third that is brightest."""

    def classify(self, examples: Tensor) -> Tensor:
        return (3 * torch.stack([part.mean((1, 2, 3)) for part in examples.split(4, 3)], 1)).log_softmax(1)


class TestLabelling:
    seer = Seer({"image": Image(1, 12, 12), "attributes": Attributes(("left", "middle", "right"))})

    def test_each_file_is_told_in_words(self, tmp_path: Path) -> None:
        found = label_images(self.seer, pictures(tmp_path / "in"), out=tmp_path / "out.csv")  # type: ignore[arg-type]
        assert found.names == ("000.png", "011.png", "100.png")
        told = [found.told(index) for index in range(3)]
        assert [list(each) for each in told] == [[], ["middle", "right"], ["left"]]
        assert told[2]["left"] == pytest.approx(0.95)
        assert [Path(problem.path).name for problem in found.broken] == ["broken.png"]
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert lines[0] == "file_name,left,middle,right"
        assert lines[3] == "100.png,0.950000,0.050000,0.050000"

    def test_one_picture_is_seen_as_the_run_saw_its_own(self, tmp_path: Path) -> None:
        wide = np.zeros((24, 48, 3), np.uint8)
        wide[:, 12:20] = 255  # the left third of the middle square
        Pillow.fromarray(wide).save(tmp_path / "wide.png")
        found = label_images(self.seer, tmp_path / "wide.png")  # type: ignore[arg-type]
        assert list(found.told(0)) == ["left"]
        assert found.names == (str(tmp_path / "wide.png"),)
        squeezed = label_images(self.seer, tmp_path / "wide.png", crop="none")  # type: ignore[arg-type]
        assert "left" not in squeezed.told(0)

    def test_a_class_is_told_where_the_system_knows_classes(self, tmp_path: Path) -> None:
        namer = Namer({"image": Image(1, 12, 12), "label": Label(("left", "middle", "right"))})
        found = label_images(namer, pictures(tmp_path / "in"))  # type: ignore[arg-type]
        assert found.one
        assert list(found.told(2)) == ["left"]
        assert len(found.told(0)) == 1  # one, though nothing is bright
        assert found.probabilities.sum(1) == pytest.approx(np.ones(3))

    def test_what_cannot_be_told_is_refused(self, tmp_path: Path) -> None:
        points = Made({"points": Points(2)})
        with pytest.raises(UsageError, match="Made tells neither labels nor classes of images"):
            label_images(points, "ring")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"must end in \.csv"):
            label_images(self.seer, "digits", out="tags.txt")  # type: ignore[arg-type]
        with pytest.raises(DataError, match="ring holds no images"):
            label_images(self.seer, "ring")  # type: ignore[arg-type]
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"no picture")
        with pytest.raises(DataError, match=r"bad\.png"):
            label_images(self.seer, bad)  # type: ignore[arg-type]

    def test_a_run_from_training_to_words(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """To tell every label of every picture has an F1 of 0.67."""
        torch.set_num_threads(1)
        learned = examples(tmp_path / "examples", 160)
        options = {"data": learned, "width": 8, "hidden": 32, "batch_size": 32, "average": 0.9, **QUIET}
        runs = [kallima.train("label-gan", out=tmp_path / str(n), steps=n, **options) for n in (0, 150)]
        scores = [kallima.evaluate(each, metrics=["micro-f1"], device="cpu")[0] for each in runs]
        assert scores[0].value < 0.7
        assert scores[1].value > 0.95
        folder, command = pictures(tmp_path / "in"), COMMANDS["label"]([])
        found = label(runs[1], folder, device="cpu")
        assert [list(found.told(index)) for index in (0, 2)] == [[], ["left"]]
        assert command([str(runs[1].path), str(folder), "--device", "cpu"]) == 1  # one of them is broken
        shown = capsys.readouterr()
        lines = shown.out.splitlines()
        assert [line.split(":")[0] for line in lines] == ["000.png", "011.png", "100.png"]
        assert lines[0] == "000.png: -"
        assert lines[2].startswith("100.png: left 0.")
        assert "broken.png" in shown.err
        assert command([str(runs[1].path), str(folder / "100.png"), "--device", "cpu", "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)[str(folder / "100.png")]) == ["left"]


def examples(folder: Path, count: int) -> Path:
    """Write noisy pictures of 12×12 whose thirds are bright or not, and a table that says which."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["file_name,left,middle,right"]
    for index in range(count):
        there = rng.integers(2, size=3)
        pixels = np.repeat(255 * there, 4)[None].repeat(12, 0) * 0.8 + rng.integers(50, size=(12, 12))
        Pillow.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:03}.png")
        rows.append(",".join([f"{index:03}.png", *map(str, there)]))
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder
