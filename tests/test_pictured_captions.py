"""What is measured of images drawn for captions, on systems made by hand that read well, badly or not at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.batch import from_storage
from kallima.data.spec import Attributes, Image, Label, Spec, Text
from kallima.data.tokens import encode
from kallima.errors import UsageError
from kallima.evaluation import Subject, evaluate_system
from kallima.evaluation.capability import matching
from kallima.evaluation.capability.matching import nearest_is_own, trained_judge
from kallima.evaluation.systems import divide

WORDS = Text("word", ("bar", "a", "b", "c", "bright", "dim"), 4)


class Data:
    """Noisy grey images 12×12 with a bar in a place of its own a class, bright or dim, and captions that say so."""

    view, name, split, fingerprint = "as it is", "by hand", "train", "bars"

    def __init__(self, count: int = 180, *, labelled: bool = True):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 40, (count, 12, 12, 1)).astype(np.uint8)
        labels, bright = np.arange(count) % 3, np.arange(count) // 3 % 2
        for image, label, light in zip(images, labels, bright, strict=True):
            image[:, 4 * label : 4 * label + 3] += 200 if light else 80
        texts = [f"{('dim', 'bright')[light]} {'abc'[label]} bar" for label, light in zip(labels, bright, strict=True)]
        self.columns = {"image": torch.from_numpy(images), "text": torch.from_numpy(encode(texts, WORDS))}
        fields: dict[str, Any] = {"image": Image(1, 12, 12), "text": WORDS}
        if labelled:
            fields |= {"label": Label(("a", "b", "c")), "attributes": Attributes(("bright", "dim"))}
            has = np.stack([bright, 1 - bright], 1).astype(np.float32)
            self.columns |= {"label": torch.from_numpy(labels), "attributes": torch.from_numpy(has)}
        self.spec = Spec(fields)

    def __len__(self) -> int:
        return len(self.columns["image"])

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {name: values[torch.as_tensor(indices)] for name, values in self.columns.items()}


class Draws:
    """Gives, for a caption, a real image of what `change` makes of its class and its light."""

    device = torch.device("cpu")

    def __init__(self, data: Data, change: Callable[[int, int], tuple[int, int]]):
        self.spec, self.change = data.spec, change
        self.conditions = Conditions(data.spec, ("text",), sensed=True)
        self.images = from_storage(data.columns["image"])

    def sample(self, count: int, *, condition: Tensor, rng: torch.Generator | None = None) -> Tensor:
        assert len(condition) == count
        places = []
        for codes in condition.round().long().tolist():
            label, light = self.change("abc".index(WORDS.vocabulary[codes[1] - 2]), int(codes[0] - 2 == 4))
            places.append(3 * light + label)  # an example of that kind
        return self.images[places]


SAME, NEXT, DIMMED = (lambda k, b: (k, b)), (lambda k, b: ((k + 1) % 3, b)), (lambda k, b: (k, 0))


@pytest.fixture(autouse=True)
def _short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_STEPS", "_LEAST_STEPS"):
        monkeypatch.setattr(f"kallima.evaluation.features.probe.{name}", 30)
    monkeypatch.setattr(matching, "trained_judge", lambda *given: trained_judge(*given, steps=30))


def score(metric: str, system: Draws, data: Data) -> Any:
    subject = Subject(system, data, data, count=90)  # type: ignore[arg-type]
    own, _ = divide([metric], subject)
    (found,) = evaluate_system(subject, own)
    return found


def test_labels_of_images_are_held_against_those_of_the_captions_examples():
    data = Data()
    assert score("label-recovery", Draws(data, SAME), data).value > 0.95
    assert score("label-recovery", Draws(data, NEXT), data).value < 0.05
    assert score("label-recovery", Draws(data, SAME), data).generated == 90


def test_attributes_count_alike_whether_they_are_there_or_not():
    data = Data()
    assert score("attribute-recovery", Draws(data, SAME), data).value > 0.95
    dimmed = score("attribute-recovery", Draws(data, DIMMED), data)
    assert dimmed.value == pytest.approx(0.5, abs=0.05)  # right of those that are dim, wrong of those that are not
    assert any("all attributes right in" in note for note in dimmed.notes)


def test_r_precision_of_who_reads_and_who_does_not():
    data = Data()
    reads, errs, half = (score("r-precision", Draws(data, change), data).value for change in (SAME, NEXT, DIMMED))
    assert reads > 0.9
    assert errs < 0.1
    assert half == pytest.approx(0.5, abs=0.1)


def test_without_what_lies_beside_the_captions_there_is_nothing_to_hold_them_against():
    data = Data(labelled=False)
    with pytest.raises(UsageError, match="label-recovery needs real examples with label beside what Draws is told"):
        score("label-recovery", Draws(data, SAME), data)


class ByHand(nn.Module):
    """Sees an image as its first pixel on a circle, reads a caption as its first code on the same circle."""

    def see(self, images: Tensor) -> Tensor:
        return self._on_circle(images[:, 0, 0, 0].float())

    def read(self, codes: Tensor) -> Tensor:
        return self._on_circle(codes[:, 0].float())

    def _on_circle(self, values: Tensor) -> Tensor:
        return torch.stack([(values / 40).cos(), (values / 40).sin()], 1)


def test_nearest_is_by_brute_force_and_equal_captions_are_no_rivals():
    """100 captions on a half circle: an image is nearest to its own where it is off by less than half a place."""
    captions = torch.arange(100)[:, None]
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None]
    assert nearest_is_own(ByHand(), images, captions, captions).all()  # type: ignore[arg-type]
    assert not nearest_is_own(ByHand(), images + 1, captions, captions)[:-1].any()  # type: ignore[arg-type]
    twice = torch.cat([captions, captions])
    assert nearest_is_own(ByHand(), images, captions, twice).all()  # type: ignore[arg-type]


def test_the_judge_learns_pairs_and_nothing_of_shuffled_ones():
    data = Data()
    images, codes = data.columns["image"], data.columns["text"]
    captions = codes.unique(dim=0)
    judge = trained_judge(images, codes, WORDS.codes, steps=30)
    assert nearest_is_own(judge, images[:60], codes[:60], captions).double().mean() > 0.9
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    lost = trained_judge(images, codes[order], WORDS.codes, steps=30)
    assert nearest_is_own(lost, images[:60], codes[:60], captions).double().mean() < 0.5
