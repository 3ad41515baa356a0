"""`sprites`: one white shape on black, every combination of its kind, size, turn and place once, as in dSprites.

dSprites (Matthey et al. 2017) has 64×64 pixels, a square, and turns all the way round, so that many of its pictures are
equal. These are drawn by rules of our own such that no two of them are.
"""

import hashlib
from collections.abc import Mapping
from functools import cache, cached_property
from typing import ClassVar

import numpy as np

from kallima.data.embedded import Embedded
from kallima.data.order import permutation
from kallima.data.source import Example
from kallima.data.spec import Field, Image, Label, Values

SIZE = 32
SHAPES = ("rectangle", "ellipse", "heart")
SCALES = tuple(0.5 + 0.1 * step for step in range(6))
ANGLES = tuple(9.0 * step for step in range(20))  # degrees, anticlockwise: half a turn
PLACES = tuple(float(step) for step in range(8, 24))  # pixels, of the middle, so that no shape is cut off
COUNTS = (len(SHAPES), len(SCALES), len(ANGLES), len(PLACES), len(PLACES))
"""How many values each factor has: shape, scale, angle, x, y."""

_VERSION = 1  # raise it when what is drawn changes
_SEEDS = {"train": 1, "test": 2}
_EVERY = 8  # one in eight is for testing
_REACH = 8  # pixels from the middle to where the largest shape ends, at most
_GRIDS = (SCALES, ANGLES, PLACES, PLACES)


class Sprites(Embedded):
    """3 shapes × 6 scales × 20 angles × 16 × 16 places, binary, 32×32 grey: fields image, label, values.

    The label is the shape, the values are its scale (the largest has 1), angle (degrees, anticlockwise) and the place
    of its middle (pixels, x rightwards, y downwards). 80,640 pictures to train on and 11,520 to test: those whose
    numbers of steps add up to a multiple of eight, so that both splits have each value of each factor equally often.
    The order is shuffled: any first n examples are a fair sample.
    """

    title: ClassVar[str] = "sprites"
    fields: Mapping[str, Field] = {
        "image": Image(1, SIZE, SIZE),
        "label": Label(SHAPES),
        "values": Values(
            ("scale", "angle", "x", "y"),
            tuple(float(np.mean(grid)) for grid in _GRIDS),
            tuple(float(np.std(grid)) for grid in _GRIDS),
        ),
    }

    def __len__(self) -> int:
        return len(self._steps)

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        shape, scale, angle, x, y = (int(step) for step in self._steps[index])
        image = np.zeros((SIZE, SIZE, 1), np.uint8)
        left, top = int(PLACES[x]) - _REACH, int(PLACES[y]) - _REACH
        image[top : top + 2 * _REACH + 1, left : left + 2 * _REACH + 1, 0] = _drawn(shape, scale, angle)
        values = np.array([SCALES[scale], ANGLES[angle], PLACES[x], PLACES[y]], np.float32)
        return {"image": image, "label": shape, "values": values}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the shapes as they are drawn, the factors and the split."""
        digest = hashlib.sha256(f"{_VERSION} {self.split} {SHAPES} {_GRIDS}".encode())
        for kind in np.ndindex(COUNTS[:3]):
            digest.update(_drawn(*kind).tobytes())
        return digest.hexdigest()

    @cached_property
    def _steps(self) -> np.ndarray:
        """Which step of each factor every example has, int64 (N, 5)."""
        steps = np.stack(np.unravel_index(np.arange(np.prod(COUNTS)), COUNTS), 1)
        testing = steps.sum(1) % _EVERY == 0
        chosen = steps[testing if self.split == "test" else ~testing]
        return chosen[permutation(len(chosen), _SEEDS[self.split], 0)]


@cache
def _drawn(shape: int, scale: int, angle: int) -> np.ndarray:
    """Return a shape around its middle, 0 and 255: uint8 (17, 17)."""
    across = np.arange(-_REACH, _REACH + 1)
    right, down = np.meshgrid(across, across)
    turn = np.deg2rad(ANGLES[angle])
    # pixels of the picture in the shape's own frame: u along it, v across it and upwards
    u = (np.cos(turn) * right - np.sin(turn) * down) / SCALES[scale]
    v = -(np.sin(turn) * right + np.cos(turn) * down) / SCALES[scale]
    return np.where(_INSIDE[shape](u, v), np.uint8(255), np.uint8(0))


def _rectangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (abs(u) <= 7.0) & (abs(v) <= 4.4)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / 8.4) ** 2 + (v / 4.4) ** 2 <= 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = u / 6.3, v / 6.3 + 0.38  # its middle is that of its ink
    return (x**2 + y**2 - 1) ** 3 <= 2.2 * x**2 * y**3


_INSIDE = (_rectangle, _ellipse, _heart)
