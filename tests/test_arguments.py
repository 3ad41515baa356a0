import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallima.arguments import REQUIRED, coerce, from_options, from_signature, split_docstring
from kallima.errors import UsageError

Crop = Literal["centre", "random", "none"]

ROUND_TRIPS = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (bool, st.booleans()),
    (str, st.text()),
    (int | None, st.none() | st.integers()),
    (Crop, st.sampled_from(["centre", "random", "none"])),
    (Literal[1, 3, 4] | None, st.sampled_from([None, 1, 3, 4])),
    (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    (tuple[float, float], st.tuples(*[st.floats(allow_nan=False)] * 2)),
]


@given(st.sampled_from(ROUND_TRIPS).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_values_survive_json(pair: tuple[Any, Any]) -> None:
    hint, value = pair
    back = coerce(hint, json.loads(json.dumps(value)), "x")
    assert back == value
    assert type(back) is type(value)


@given(st.sampled_from(ROUND_TRIPS[:2] + ROUND_TRIPS[4:7]).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_values_survive_being_written_as_words(pair: tuple[Any, Any]) -> None:
    hint, value = pair
    assert coerce(hint, str(value).lower() if value is None else str(value), "x") == value


@pytest.mark.parametrize(
    ("hint", "given", "meant"),
    [
        (int, "1e5", 100_000),
        (int, "20_000", 20_000),
        (int, 4.0, 4),
        (int, np.int64(4), 4),
        (float, 1, 1.0),
        (float, "2e-4", 2e-4),
        (tuple[int, ...], "64,128", (64, 128)),
        (tuple[int, ...], "", ()),
        (Sequence[str], "fid, kid", ("fid", "kid")),
        (str | Path | None, "photos/", "photos/"),
        (Crop, "none", "none"),
        (float | None, "none", None),
    ],
)
def test_loose_spellings(hint: Any, given: Any, meant: Any) -> None:
    back = coerce(hint, given, "x")
    assert back == meant
    assert type(back) is type(meant)


@pytest.mark.parametrize(
    ("hint", "given", "words"),
    [
        (int, "abc", "x must be a whole number, not 'abc'"),
        (int, 1.5, "x must be a whole number, not 1.5"),
        (int, "1.5", "x must be a whole number, not '1.5'"),
        (int, True, "x must be a whole number, not True"),
        (int, "inf", "x must be a whole number, not 'inf'"),
        (int, None, "x must be a whole number, not None"),
        (float, "fast", "x must be a number, not 'fast'"),
        (bool, 1, "x must be true or false, not 1"),
        (bool, "yes", "x must be true or false, not 'yes'"),
        (str, 3, "x must be a text, not 3"),
        (int | None, "big", "x must be a whole number, not 'big'"),
        (Crop, "center", "x must be centre, random or none, not 'center'; did you mean 'centre'?"),
        (Literal[1, 3, 4] | None, 2, "x must be 1, 3 or 4, not 2"),
        (tuple[float, float], "1", "x must be 2 of a number, not '1'"),
        (tuple[int, ...], [1, "b"], "x must be several of a whole number, not [1, 'b']"),
    ],
)
def test_other_types_are_refused_in_words(hint: Any, given: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        coerce(hint, given, "x")
    assert str(refused.value) == words


def test_docstrings_are_split() -> None:
    text, helps = split_docstring(
        """What it does.

        More: of it.

        Args:
            width: how wide,
                and why: because
            depth: how deep

        Returns:
            nothing: at all
        """
    )
    assert text == "What it does.\n\nMore: of it."
    assert helps == {"width": "how wide, and why: because", "depth": "how deep"}


def test_signatures_are_read() -> None:
    def train(recipe: str, count: int = 3, *, data: str, out: str | None = None, **options: int) -> None:
        """Train.

        Args:
            data: where from
        """

    found = {parameter.name: parameter for parameter in from_signature(train)}
    assert list(found) == ["recipe", "count", "data", "out"]
    assert [name for name, parameter in found.items() if parameter.positional] == ["recipe"]
    assert found["data"].default is REQUIRED
    assert found["data"].help == "where from"
    assert found["out"].flag == "--out"


@dataclass(frozen=True)
class Options:
    """Some options."""

    data: str
    """Where from,
    and where to."""
    log_every: int = 50
    bare: float | None = None


def test_options_are_read() -> None:
    data, log_every, bare = from_options(Options)
    assert (data.default, data.help) == (REQUIRED, "Where from, and where to.")
    assert (log_every.default, log_every.help, log_every.flag) == (50, "", "--log-every")
    assert bare.hint == float | None
