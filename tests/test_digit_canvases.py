"""`digit-canvases`: three digits, the rule that links them, whole on their canvas, and of other hands in the test."""

from collections import Counter

import numpy as np
import pytest

from kallima.data.digit_canvases import FAINTEST, GRAIN, SIZE, DigitCanvases
from kallima.data.digits import Digits
from kallima.errors import DataError

SPLITS = [DigitCanvases("train"), DigitCanvases("test")]
SETS = {frozenset({a, b, (a + b) % 10}) for a in range(10) for b in range(10)}


def test_the_labels_are_two_digits_and_their_sum():
    assert len(SETS) == 50
    for split in SPLITS:
        assert len(split) == 1_000
        for index, written in enumerate(split._written):
            first, second, third = written
            assert (first + second) % 10 == third
            there = np.flatnonzero(split.read(index)["attributes"])
            assert set(there) == set(written)
            assert frozenset(there) in SETS
    assert {frozenset(written) for written in SPLITS[0]._written} == SETS  # each of them can be learned
    addends = np.bincount(SPLITS[0]._written[:, :2].ravel(), minlength=10)
    assert abs(addends - 200).max() < 5 * np.sqrt(200 * 0.9)


def test_the_picture_shows_the_digits_that_are_there_where_they_are_and_nothing_else():
    for split in SPLITS:
        known = list(Digits(split.split).examples())
        for index in range(200):
            left = split.read(index)["image"][:, :, 0].astype(int)
            assert left.shape == (SIZE, SIZE)
            for digit, source, (row, column) in zip(
                split._written[index], split._sources[index], split._places[index], strict=True
            ):
                assert known[source]["label"] == digit
                shape = known[source]["image"][:, :, 0].astype(int)
                place = left[row : row + 8, column : column + 8]
                assert place.shape == (8, 8)
                ink = place.max() / shape.max()
                assert place.max() >= GRAIN
                assert FAINTEST - 0.01 <= ink <= 1.01
                bright = shape * ink >= GRAIN + 1
                assert np.abs(place - shape * ink)[bright].max() <= 2
                place[:] = 0  # of its own place alone: the next one would miss its ink
            assert left.max() < GRAIN


def test_digits_lie_all_over_the_canvas_without_overlapping():
    for split in SPLITS:
        apart = np.abs(split._places[:, :, None] - split._places[:, None]).max(3)
        assert apart[:, *np.triu_indices(3, 1)].min() >= 8
        corners = Counter(split._places.ravel().tolist())
        assert min(corners) == 1
        assert max(corners) == SIZE - 8 - 1
        assert len(corners) == 9


def test_splits_are_of_different_hands_and_the_same_whenever_asked():
    drawn = [{split._digits[source]["image"].tobytes() for source in split._sources.ravel()} for split in SPLITS]
    assert not drawn[0] & drawn[1]
    assert len(drawn[0]) > 1_000
    again = DigitCanvases("test")
    assert np.array_equal(again.read(7)["image"], SPLITS[1].read(7)["image"])
    assert again.fingerprint() == SPLITS[1].fingerprint() != SPLITS[0].fingerprint()
    images = {split.read(index)["image"].tobytes() for split in SPLITS for index in range(1_000)}
    assert len(images) == 2_000
    with pytest.raises(DataError, match="digit-canvases has no split 'valid'"):
        DigitCanvases("valid")


def test_the_fingerprint_is_of_the_pixels():
    """Whoever changes what is drawn has to raise the version, or a cache would show the old pictures."""
    own = DigitCanvases("train")
    other = DigitCanvases("train")
    other.__dict__["_places"] = own._places + 1
    assert other.fingerprint() != own.fingerprint()
