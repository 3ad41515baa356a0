"""`turned-glyphs`: clips in each of which one thing changes: the angle, the place, the size, or the letter itself."""

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
from PIL import Image as Pillow

from kallima.data.embedded import Embedded
from kallima.data.glyphs import CHARACTERS, SIZE, Glyphs
from kallima.data.order import random_bits, uniform
from kallima.data.source import Example
from kallima.data.spec import Field, Label, Video

FRAMES = 8
FACTORS = ("angle", "right", "size")
CLASSES = (*FACTORS, "glyph")
RANGES = ((-45.0, 45.0), (-6.0, 6.0), (0.6, 1.0))
"""Degrees, anticlockwise; pixels from the middle; share of a glyph's own size."""
LETTERS = "ABEFGJKLPRTY"
"""Those of which it can be said how far they are turned."""

_VERSION = 1  # raise it when what is drawn changes
_COUNTS = {"train": 8_000, "test": 1_000}
_SEEDS = {"train": 1, "test": 2}


class TurnedGlyphs(Embedded):
    """8 frames of 32×32 grey, one upright letter at some angle, place and size: fields video and label, what changes.

    In a quarter of the clips the angle goes in equal steps from one value to another, in a quarter the place along a
    row, in a quarter the size, and in the last the letter is another in each frame while these three stay. Values are
    uniform over `RANGES`; letters and their faces are those of `glyphs` that are not italic. 8,000 clips to train on
    and 1,000 to test, of glyphs that are jittered differently.
    """

    title: ClassVar[str] = "turned-glyphs"
    fields: Mapping[str, Field] = {"video": Video(FRAMES, 1, SIZE, SIZE), "label": Label(CLASSES)}

    def __init__(self, split: str = "train"):
        super().__init__(split)
        self._glyphs = Glyphs(split)

    def __len__(self) -> int:
        return _COUNTS[self.split]

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        letters = {int(each): self.letter(int(each)) for each in set(self.letters(index))}
        frames = [
            seen(letters[int(each)], *values)
            for each, values in zip(self.letters(index), self.factors(index), strict=True)
        ]
        return {"video": np.stack(frames), "label": index % len(CLASSES)}

    def factors(self, index: int) -> np.ndarray:
        """Return angle, place and size in each frame of example `index`: float64 (FRAMES, 3)."""
        low, high = np.array(RANGES).T
        start, end = (low + self._uniform[index, place : place + 3] * (high - low) for place in (0, 3))
        moving = np.arange(3) == index % 4
        return start + np.linspace(0, 1, FRAMES)[:, None] * np.where(moving, end - start, 0.0)

    def letters(self, index: int) -> np.ndarray:
        """Return the place in `glyphs` of the letter in each frame of example `index`: int64 (FRAMES,)."""
        drawn = self._chosen[(self._uniform[index, 6:] * len(self._chosen)).astype(np.int64)]
        return drawn if index % 4 == 3 else np.repeat(drawn[:1], FRAMES)

    def letter(self, place: int) -> np.ndarray:
        """Return a letter as it is before it is turned, uint8 (H, W, 1), by its place in `glyphs`."""
        image: np.ndarray = self._glyphs.read(place)["image"]
        return image

    def fingerprint(self) -> str:
        """Return the SHA-256 of the glyphs, of what is drawn from them and of some of the drawings."""
        digest = hashlib.sha256(f"{_VERSION} {self.split} {RANGES} {LETTERS} {self._glyphs.fingerprint()}".encode())
        digest.update(self._uniform.tobytes())
        for index in range(0, len(self), len(self) // 20):
            digest.update(self.read(index)["video"].tobytes())
        return digest.hexdigest()

    @cached_property
    def _chosen(self) -> np.ndarray:
        """The upright letters, by their place in `Glyphs`."""
        glyphs, letters = self._glyphs, [CHARACTERS.index(each) for each in LETTERS]
        return np.array([i for i in range(len(glyphs)) if glyphs.label(i) in letters and not glyphs.face(i).italic])

    @cached_property
    def _uniform(self) -> np.ndarray:
        """Where the three factors start, where they end, and which letters: (N, 6 + FRAMES) numbers in [0, 1)."""
        width = 6 + FRAMES
        counters = np.arange(width * len(self)).reshape(-1, width)
        return uniform(random_bits(_SEEDS[self.split], counters=counters))


def seen(glyph: np.ndarray, angle: float, right: float, size: float) -> np.ndarray:
    """Return the picture uint8 (H, W, 1) turned about its middle by `angle` degrees, made smaller and moved."""
    side, turn = glyph.shape[0], math.radians(angle)
    a, b = math.cos(turn) / size, math.sin(turn) / size
    x, y = side / 2 + right, side / 2  # where the middle comes to lie
    inverse = (a, -b, side / 2 - a * x + b * y, b, a, side / 2 - b * x - a * y)
    picture = Pillow.fromarray(glyph[:, :, 0])
    return np.asarray(picture.transform((side, side), Pillow.Transform.AFFINE, inverse, Pillow.Resampling.BILINEAR))[
        :, :, None
    ]
