"""Texts from files to codes and back."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from kallima.data.dataset import prepare
from kallima.data.opening import open_source
from kallima.data.source import Problem
from kallima.data.spec import Spec, Text
from kallima.data.text import LINE_LIMIT
from kallima.data.tokens import END, UNKNOWN, cut, decode, encode, joined, unknown
from kallima.data.view import View
from kallima.errors import DataError, UsageError


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "poems.txt"
    path.write_text("床前明月光\n\nabba\r\n   \nab cab\n", encoding="utf-8")
    return path


def prepared(path: Path, **view: object):
    return prepare(open_source(path), View(**view))  # type: ignore[arg-type]


def test_a_line_is_a_text_and_empty_ones_are_none(lines: Path):
    source = open_source(lines)
    assert len(source) == 3
    assert [example["text"] for example in source.examples()] == ["床前明月光", "abba", "ab cab"]


def test_texts_come_back_from_their_codes(lines: Path):
    data = prepared(lines)
    field = data.spec["text"]
    assert isinstance(field, Text)
    assert field.length == 7  # the longest has six characters, and an end
    codes = data.read(np.arange(3))["text"]
    assert codes.shape == (3, 7)
    assert decode(codes.numpy(), field) == ["床前明月光", "abba", "ab cab"]
    assert (codes[1, 4:] == END).all()
    assert codes[1, 0] == codes[1, 3] != codes[1, 1]


def test_the_vocabulary_is_the_most_frequent_and_the_rest_is_unknown(lines: Path):
    field = prepared(lines, vocabulary=2).spec["text"]
    assert isinstance(field, Text)
    assert field.vocabulary == ("a", "b")  # four of each; among equals in the order of their code points
    assert encode(["abc"], field).tolist() == [[2, 3, UNKNOWN, END, END, END, END]]
    assert decode(np.array([[2, UNKNOWN, 3, END, 2]]), field) == ["a\N{REPLACEMENT CHARACTER}b"]
    assert unknown("cacb!", field) == ["c", "!"]


def test_words_are_cut_at_blanks_and_what_is_too_long_is_cut_off(lines: Path):
    data = prepared(lines, tokens="word", length=1)
    field = data.spec["text"]
    assert isinstance(field, Text)
    assert set(field.vocabulary) == {"床前明月光", "abba", "ab", "cab"}
    assert decode(data.read(np.array([2]))["text"].numpy(), field) == ["ab"]
    assert joined(cut(" ab  cab ", "word"), "word") == "ab cab"


def test_a_spec_with_a_vocabulary_survives_its_json(lines: Path):
    spec = prepared(lines).spec
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.medium == "text"


def test_a_first_column_of_few_words_is_the_label(tmp_path: Path):
    path = tmp_path / "poems.tsv.gz"
    rows = [("song", "a b"), ("tang", "c"), ("song", "d"), ("tang", "e")]
    path.write_bytes(gzip.compress("".join(f"{name}\t{text}\n" for name, text in rows).encode()))
    data = prepared(path)
    assert data.spec["label"].classes == ("song", "tang")  # type: ignore[attr-defined]
    read = data.read(np.array([2, 1]))
    assert read["label"].tolist() == [0, 1]
    assert data.texts(np.array([2, 1])) == ["d", "c"]


@pytest.mark.parametrize("text", ["a\tb\nc\td\n", "a\tb\na\n", "a\tb\na\t \n", "\tb\n\tc\n"])
def test_other_tabs_are_part_of_the_text(tmp_path: Path, text: str):
    path = tmp_path / "x.txt"
    path.write_text(text)
    assert "label" not in open_source(path).fields


def test_a_text_beside_an_image_has_codes_only_where_they_are_asked_for():
    plain = prepare(open_source("glyphs", split="test"), View())
    assert plain.spec["text"] == Text()
    assert "text" not in plain.read(np.arange(2))
    asked = prepare(open_source("glyphs", split="test"), View(tokens="word"))
    field = asked.spec["text"]
    assert isinstance(field, Text)
    assert decode(asked.read(np.arange(2))["text"].numpy(), field) == asked.texts(np.arange(2))


def test_what_is_no_text_is_named(tmp_path: Path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"good\n\xff\xfebad\n" + b"a" * (LINE_LIMIT + 5) + b"\nlast\n")
    found = list(open_source(path).examples())
    problems = [example for example in found if isinstance(example, Problem)]
    assert [problem.path.rpartition(":")[2] for problem in problems] == ["2", "3"]
    assert "not UTF-8" in problems[0].problem
    assert "more than 1 MB" in problems[1].problem
    assert found[3] == {"text": "last"}
    with pytest.raises(DataError, match=r"2 of 4 examples cannot be used: .*x\.txt:2 is not UTF-8"):
        prepared(path)
    assert len(prepare(open_source(path), View(), skip_bad=True)) == 2


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="holds no text"):
        open_source(path)


def test_a_packed_file_that_is_cut_short_says_where(tmp_path: Path):
    path = tmp_path / "x.txt.gz"
    whole = gzip.compress("\n".join(map(str, range(5000))).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot be read after line \d+ \(it is cut short or damaged\)"):
        open_source(path)


@pytest.mark.parametrize(
    "wrong", [{"tokens": "letter"}, {"length": 0}, {"vocabulary": 0}, {"rate": 0}, {"seconds": -1}]
)
def test_a_view_that_makes_no_sense_is_refused(wrong: dict):
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        View(**wrong)
