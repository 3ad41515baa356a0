"""`glyph-views`: a letter on a card that stands in space, seen before and after the card was turned."""

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from kallima.data.embedded import Embedded
from kallima.data.glyphs import SIZE, Glyphs
from kallima.data.order import random_bits, uniform
from kallima.data.source import Example
from kallima.data.spec import Field, Values, Video

STEP, STEPS = 10, 6
"""Degrees of a step, and how many steps a card is turned out of the picture's plane at most, either way."""
DISTANCE = 3.0
"""How far the eye is, in halves of the picture's width."""

_VERSION = 1  # raise it when what is drawn changes
_COUNTS = {"train": 10_000, "test": 2_000}
_SEEDS = {"train": 1, "test": 2}
_EVERY = 5  # one character in five is for testing
_SCALE = STEP * math.sqrt(((2 * STEPS + 1) ** 2 - 1) / 6)  # the deviation of the difference of two angles


class GlyphViews(Embedded):
    """Two frames of 32×32 grey, a glyph's card at one angle about the upright axis, then at another: video and values.

    The value "turn" is the angle from the first to the second, degrees, positive where the right edge goes away from
    the eye. Either angle is one of −60, −50, …, 60. What is drawn is as in perspective, the nearer edge taller. The
    characters that are tested are in no pair that is trained on: 10,000 and 2,000 pairs.
    """

    title: ClassVar[str] = "glyph-views"
    fields: Mapping[str, Field] = {"video": Video(2, 1, SIZE, SIZE), "values": Values(("turn",), (0.0,), (_SCALE,))}

    def __init__(self, split: str = "train"):
        super().__init__(split)
        self._glyphs = Glyphs(split)

    def __len__(self) -> int:
        return _COUNTS[self.split]

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        glyph, *angles = (int(each) for each in self._drawn[index])
        card = self._glyphs.read(int(self._chosen[glyph]))["image"]
        frames = np.stack([turned(card, angle) for angle in angles])
        return {"video": frames, "values": np.array([angles[1] - angles[0]], np.float32)}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the glyphs, the angles and some of what is drawn."""
        digest = hashlib.sha256(f"{_VERSION} {self.split} {self._glyphs.fingerprint()}".encode())
        digest.update(self._drawn.astype("<i8").tobytes())
        for index in range(0, len(self), len(self) // 20):
            digest.update(self.read(index)["video"].tobytes())
        return digest.hexdigest()

    @cached_property
    def _chosen(self) -> np.ndarray:
        """The glyphs whose character belongs to the split, by their place in `Glyphs`."""
        labels = np.array([self._glyphs.label(index) for index in range(len(self._glyphs))])
        testing = labels % _EVERY == 0
        return np.flatnonzero(testing if self.split == "test" else ~testing)

    @cached_property
    def _drawn(self) -> np.ndarray:
        """Which of the chosen glyphs, and the angles of both frames in degrees: int64 (N, 3)."""
        counters = np.arange(3 * len(self)).reshape(-1, 3)
        choices = np.array([len(self._chosen), 2 * STEPS + 1, 2 * STEPS + 1])
        drawn = (uniform(random_bits(_SEEDS[self.split], counters=counters)) * choices).astype(np.int64)
        drawn[:, 1:] = STEP * (drawn[:, 1:] - STEPS)
        return drawn


def turned(card: np.ndarray, angle: float) -> np.ndarray:
    """Return uint8 (H, W, 1), H = W, as it is seen when its right edge is turned `angle` degrees away from the eye.

    The eye is `DISTANCE` before the middle. Between pixels the card is bilinear, beyond its border it is black.
    """
    side = card.shape[0]
    across = (2 * np.arange(side) + 1) / side - 1
    x, y = card_places(across, across[:, None], angle)
    column, row = ((side * (place + 1) - 1) / 2 for place in np.broadcast_arrays(x, y))
    padded = np.pad(card[:, :, 0].astype(np.float64), 1)
    # one pixel of black around: what lies further out is as black
    column, row = np.clip(column, -1, side) + 1, np.clip(row, -1, side) + 1
    left, top = np.minimum(column.astype(int), side), np.minimum(row.astype(int), side)
    right, down = column - left, row - top
    above = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    below = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    return np.rint(above * (1 - down) + below * down).astype(np.uint8)[:, :, None]


def card_places(u: np.ndarray, v: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where on the card (x, y) the eye looks through the picture at (u, v), all from −1 to 1 from edge to edge.

    A point of the card lies at (x cos a, y, x sin a) in space, and is seen where u = D x cos a / (D + x sin a) and
    v = D y / (D + x sin a).
    """
    turn = np.deg2rad(angle)
    x = u * DISTANCE / (DISTANCE * np.cos(turn) - u * np.sin(turn))
    return x, v * (DISTANCE + x * np.sin(turn)) / DISTANCE
