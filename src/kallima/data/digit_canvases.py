"""`digit-canvases`: three handwritten digits on a canvas, of which one is the sum of the other two, modulo ten.

Which digits are there is a set of labels with a rule: of the 175 sets of one, two or three digits only 50 occur. What
is known of two digits says something of the third, so labels are not to be told one by one.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from kallima.data.digits import Digits
from kallima.data.embedded import Embedded
from kallima.data.order import random_bits, uniform
from kallima.data.source import Example
from kallima.data.spec import Attributes, Field, Image

SIZE = 32
TOGETHER = 3
FAINTEST = 0.3
"""How bright a digit is at least, where 1 is white."""
GRAIN = 32
"""The canvas is grey: each pixel has a level below this of its own, so that faint digits are hard to read."""

_VERSION = 1  # raise it when what is drawn changes
_COUNTS = {"train": 1_000, "test": 1_000}
_SEEDS = {"train": 1, "test": 2}
_SIDE = 8
_CELL = 10  # a digit has a square of its own, three by three of them, and moves in it by so much that none overlap
_ACROSS = SIZE // _CELL
_EDGE = (SIZE - _ACROSS * _CELL) // 2
_ADDENDS, _WHICH, _WHERE, _JITTER, _INK, _PAPER = range(6)  # what random bits are for


class DigitCanvases(Embedded):
    """Three digits on 32×32 of grey grain: fields image and attributes, whether each of "0" to "9" is there.

    Two digits are drawn uniformly, the third is their sum modulo ten; they lie anywhere without overlapping, 8×8
    pixels each, between faint and white. 1,000 canvases to train on and 1,000 to test, of different handwritten digits.
    """

    title: ClassVar[str] = "digit-canvases"
    fields: Mapping[str, Field] = {"image": Image(1, SIZE, SIZE), "attributes": Attributes(tuple("0123456789"))}

    def __len__(self) -> int:
        return _COUNTS[self.split]

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        counters = np.arange(SIZE * SIZE).reshape(SIZE, SIZE, 1)
        grain = uniform(random_bits(_SEEDS[self.split], _PAPER, index, counters=counters))
        canvas = (grain * GRAIN).astype(np.uint8)
        for source, (row, column), ink in zip(
            self._sources[index], self._places[index], self._drawn(_INK)[index], strict=True
        ):
            shape = np.rint(self._digits[source]["image"] * (FAINTEST + (1 - FAINTEST) * ink)).astype(np.uint8)
            place = canvas[row : row + _SIDE, column : column + _SIDE]
            np.maximum(place, shape, out=place)
        return {"image": canvas, "attributes": np.isin(np.arange(10), self._written[index]).astype(np.float32)}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the digits and of where and how each is drawn."""
        digest = hashlib.sha256(f"{_VERSION} {self.title} {self.split} {SIZE} {FAINTEST} {GRAIN}".encode())
        for each in self._digits:
            digest.update(each["image"].tobytes())
        for drawn in (self._written, self._sources, self._places):
            digest.update(drawn.astype("<i8").tobytes())
        digest.update(self._drawn(_INK).astype("<f8").tobytes())
        return digest.hexdigest()

    def _drawn(self, what: int, each: int = TOGETHER) -> np.ndarray:
        """Return `each` numbers in [0, 1) a canvas, (N, each), the same whenever asked."""
        counters = np.arange(len(self) * each).reshape(-1, each)
        return uniform(random_bits(_SEEDS[self.split], what, counters=counters))

    @cached_property
    def _digits(self) -> list[Example]:
        return list(Digits(self.split).examples())

    @cached_property
    def _written(self) -> np.ndarray:
        """Which digits are on each canvas, the sum last: int64 (N, 3)."""
        addends = (self._drawn(_ADDENDS, 2) * 10).astype(np.int64)
        return np.concatenate([addends, addends.sum(1, keepdims=True) % 10], 1)

    @cached_property
    def _sources(self) -> np.ndarray:
        """The handwritten digit that stands for each, of those of the split: int64 (N, 3)."""
        labels = np.array([each["label"] for each in self._digits])
        members = [np.flatnonzero(labels == digit) for digit in range(10)]
        counts = np.array([len(each) for each in members])
        order = np.argsort(labels, kind="stable")
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        chosen = (self._drawn(_WHICH) * counts[self._written]).astype(np.int64)
        return order[first[self._written] + chosen]

    @cached_property
    def _places(self) -> np.ndarray:
        """The upper left corner of each digit, row and column: int64 (N, 3, 2)."""
        keys = self._drawn(_WHERE, _ACROSS**2)
        cells = np.argsort(keys, axis=1, kind="stable")[:, :TOGETHER]  # squares of their own
        corners = _EDGE + _CELL * np.stack(np.divmod(cells, _ACROSS), 2)
        jitter = self._drawn(_JITTER, 2 * TOGETHER).reshape(-1, TOGETHER, 2)
        return corners + (jitter * (_CELL - _SIDE + 1)).astype(np.int64)
