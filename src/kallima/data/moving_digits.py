"""`moving-digit` and `moving-digits`: handwritten digits that cross black frames in straight lines, from wall to wall.

After the set of Srivastava, Mansimov & Salakhutdinov 2015 (arXiv:1502.04681), small enough for a processor, and binary:
what can at best be said of it is then an entropy, known in closed form.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
from PIL import Image as Pillow

from kallima.data.digits import Digits
from kallima.data.embedded import Embedded
from kallima.data.order import random_bits, uniform
from kallima.data.source import Example
from kallima.data.spec import Field, Label, Video

FRAMES = 12

_VERSION = 1  # raise it when what is drawn changes
_COUNTS = {"train": 10_000, "test": 2_000}
_SEEDS = {"train": 1, "test": 2}


class _Moving(Embedded):
    """`together` digits of `side` pixels in frames of `size`, each axis at a speed of 1 to `fastest` pixels a frame.

    Along an axis a digit is at fold(u + s t) in frame t: u, uniform over the 2 (size − side) phases of the way there
    and back, and s, uniform over the speeds, are drawn for each axis by themselves; the digit is one of the split's.
    """

    size: ClassVar[int]
    side: ClassVar[int]
    fastest: ClassVar[int]
    together: ClassVar[int]

    def __len__(self) -> int:
        return _COUNTS[self.split]

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        frames = np.zeros((FRAMES, self.size, self.size, 1), np.uint8)
        for digit, across, down, right, below in self._drawn[index]:
            shape = self._shapes[digit]
            for frame, x, y in zip(frames, self.path(across, right), self.path(down, below), strict=True):
                place = frame[y : y + self.side, x : x + self.side, 0]
                np.maximum(place, shape, out=place)
        return {"video": frames}

    def path(self, phase: int, speed: int) -> np.ndarray:
        """Return where along an axis a digit begins in each frame: int64 (FRAMES,), from 0 to size − side."""
        room = self.size - self.side
        way = (phase + speed * np.arange(FRAMES)) % (2 * room)
        return np.minimum(way, 2 * room - way)

    def entropy(self) -> float:
        """Return the entropy of a video in nats, below which no model's −log p(x) is on average.

        Exact for one digit: no two draws of digit, phases and speeds make one video, but for digits that are equal.
        For two it is the entropy of the pair in no order; pairs that made one video by chance would lower it.
        """
        equal = np.array(list(Counter(shape.tobytes() for shape in self._shapes).values())) / len(self._shapes)
        # which digit, and where and how fast along each axis
        one = -(equal * np.log(equal)).sum() + 2 * math.log(2 * (self.size - self.side) * self.fastest)
        if self.together == 1:
            return float(one)
        alike = (equal**2).sum() / (2 * (self.size - self.side) * self.fastest) ** 2  # both draws are the same
        return float(2 * one - (1 - alike) * math.log(2))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the digits and of how each is moved."""
        what = f"{_VERSION} {self.title} {self.split} {FRAMES} {self.size} {self.side}"
        return hashlib.sha256(what.encode() + self._shapes.tobytes() + self._drawn.astype("<i8").tobytes()).hexdigest()

    @cached_property
    def _digits(self) -> list[Example]:
        return list(Digits(self.split).examples())

    @cached_property
    def _shapes(self) -> np.ndarray:
        """The split's digits, 0 and 255: uint8 (N, side, side)."""
        side = (self.side, self.side)
        grey = [
            np.asarray(Pillow.fromarray(each["image"][:, :, 0]).resize(side, Pillow.Resampling.BICUBIC))
            for each in self._digits
        ]
        return np.where(np.stack(grey) >= 128, np.uint8(255), np.uint8(0))

    @cached_property
    def _drawn(self) -> np.ndarray:
        """Digit, phases (x, y) and speeds (x, y) of each digit of each video: int64 (N, together, 5)."""
        phases = 2 * (self.size - self.side)
        choices = np.array([len(self._shapes), phases, phases, self.fastest, self.fastest])
        counters = np.arange(len(self) * self.together * 5).reshape(-1, self.together, 5)
        drawn = (uniform(random_bits(_SEEDS[self.split], counters=counters)) * choices).astype(np.int64)
        return drawn + np.array([0, 0, 0, 1, 1])


class MovingDigit(_Moving):
    """One digit of 8×8 pixels in 12 frames of 16×16, black and white: fields video and label, which digit it is.

    It goes 1 or 2 pixels a frame along each axis. 10,000 videos to train on and 2,000 to test, of different digits.
    """

    title: ClassVar[str] = "moving-digit"
    size, side, fastest, together = 16, 8, 2, 1
    fields: Mapping[str, Field] = {"video": Video(FRAMES, 1, 16, 16), "label": Label(tuple("0123456789"))}

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        return {**super().read(index), "label": self._digits[self._drawn[index, 0, 0]]["label"]}


class MovingDigits(_Moving):
    """Two digits of 16×16 pixels in 12 frames of 32×32, black and white: field video.

    They go 1, 2 or 3 pixels a frame along each axis, and through each other: white is what is on either. 10,000 videos
    to train on and 2,000 to test, of different digits.
    """

    title: ClassVar[str] = "moving-digits"
    size, side, fastest, together = 32, 16, 3, 2
    fields: Mapping[str, Field] = {"video": Video(FRAMES, 1, 32, 32)}
