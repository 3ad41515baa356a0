"""Portions: what part of the data a stream reads, and that it is just that part."""

from pathlib import Path

import numpy as np
import pytest

from kallima.data.dataset import Dataset, Subset, prepare
from kallima.data.opening import open_source
from kallima.data.portion import Portion
from kallima.data.view import View
from kallima.errors import DataError

LABELS = np.array([0, 1, 2, 0, 1, 0, 0, 1, 0, 0, 1, 0])  # 7 of the first class, 4 of the second, 1 of the third


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Twelve images, each of one grey, with a label and a domain."""
    greys = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    np.savez(tmp_path / "a.npz", x=greys, y=LABELS, domain=np.arange(12) % 2, domain_names=np.array(["even", "odd"]))
    return prepare(open_source(tmp_path / "a.npz"), View())


def greys(dataset: Dataset) -> list[int]:
    return dataset.read(np.arange(len(dataset)))["image"][:, 0, 0, 0].tolist()


def test_the_whole_is_the_dataset_itself(dataset: Dataset):
    assert Portion(batch_size=3).of(dataset) is dataset


@pytest.mark.parametrize(
    ("of_class", "chosen"),
    [(("label", 1), [1, 4, 7, 10]), (("label", 2), [2]), (("domain", 0), [0, 2, 4, 6, 8, 10])],
)
def test_a_class_is_all_of_it_and_nothing_else(dataset: Dataset, of_class: tuple[str, int], chosen: list[int]):
    part = Portion(of_class=of_class).of(dataset)
    assert greys(part) == chosen
    assert part.column("label").tolist() == LABELS[chosen].tolist()
    assert (part.spec, part.fingerprint, part.decodes) == (dataset.spec, dataset.fingerprint, dataset.decodes)
    backwards = part.read(np.arange(len(part))[::-1])
    assert backwards["image"][:, 0, 0, 0].tolist() == chosen[::-1]
    assert backwards["domain"].tolist() == [each % 2 for each in chosen[::-1]]


@pytest.mark.parametrize(("few", "shares"), [(3, [1, 1, 1]), (2, [1, 1, 0]), (1, [1, 0, 0])])
def test_few_are_as_many_of_each_class(dataset: Dataset, few: int, shares: list[int]):
    part = Portion(few=few).of(dataset)
    assert len(set(greys(part))) == len(part) == few
    assert np.bincount(part.column("label"), minlength=3).tolist() == shares


def test_few_of_a_class_are_of_that_class_and_balanced_by_label(dataset: Dataset):
    part = Portion(of_class=("domain", 1), few=4).of(dataset)
    assert part.column("domain").tolist() == [1] * 4
    assert np.bincount(part.column("label")).tolist() == [2, 2]


def test_the_seed_decides_which(dataset: Dataset):
    chosen = [greys(Portion(few=3, seed=seed).of(dataset)) for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len({tuple(each) for each in chosen}) > 1


def test_a_part_of_a_part_is_counted_in_the_part(dataset: Dataset):
    part = Subset(Subset(dataset, np.array([9, 3, 5])), np.array([2, 0]))
    assert greys(part) == [5, 9]
    assert part.column("domain").tolist() == [1, 1]


def test_what_is_not_there_is_refused(dataset: Dataset, tmp_path: Path):
    with pytest.raises(DataError, match="3 of each class, but one class has only 1: ask for fewer"):
        Portion(few=9).of(dataset)
    named = {"x": np.zeros((2, 2, 2), np.uint8), "domain": np.zeros(2, int), "domain_names": np.array(["a", "b"])}
    np.savez(tmp_path / "b.npz", **named)
    other = prepare(open_source(tmp_path / "b.npz"), View())
    with pytest.raises(DataError, match="no example whose domain is 'b'"):
        Portion(of_class=("domain", 1)).of(other)


def test_texts_follow_the_examples():
    glyphs = prepare(open_source("glyphs-weights", split="test"), View())
    part = Portion(of_class=("domain", 1)).of(glyphs)
    assert len(part) == len(glyphs) // 2
    assert all(text.split()[1] == "bold" for text in part.texts(np.arange(50)))
