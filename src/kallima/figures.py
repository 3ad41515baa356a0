"""What a picture shows, as plain data: panels of curves, points, arrows and fields. Nothing is drawn here.

Who says a thing in one role says it in one colour everywhere: the data, the model, a second model, the judge (the
discriminator), and theory, against which they are held.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Role = Literal["data", "model", "rival", "judge", "theory"]

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Points (N, D) to log p, in nats: (N,)."""


@dataclass(frozen=True)
class Curve:
    """y over x, both (N,); `filled` down to 0."""

    label: str
    x: np.ndarray
    y: np.ndarray
    role: Role
    dashed: bool = False
    filled: bool = False


@dataclass(frozen=True)
class Dots:
    """Points (N, 2): a cloud of them, or a few that are marked."""

    label: str
    points: np.ndarray
    role: Role
    marker: Literal["cloud", "dot", "cross"] = "cloud"


@dataclass(frozen=True)
class Arrows:
    """An arrow of direction (N, 2) at each of the points (N, 2); all are drawn equally long."""

    points: np.ndarray
    directions: np.ndarray


@dataclass(frozen=True)
class Field:
    """Values in [0, 1], (H, W), over the whole panel, the first row lowest: low ones blue, high ones orange."""

    label: str
    values: np.ndarray


@dataclass(frozen=True)
class Level:
    """The line along which values (H, W), laid out like a field's, are `level`."""

    label: str
    values: np.ndarray
    level: float
    role: Role
    dashed: bool = False


Mark = Curve | Dots | Arrows | Field | Level


@dataclass(frozen=True)
class Panel:
    """Axes with what is on them. The ranges are fixed, so that the pictures of a run can be leafed through.

    `equal` gives both axes one scale.
    """

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    marks: Sequence[Mark]
    equal: bool = False


@dataclass(frozen=True)
class Figure:
    """Panels side by side, or `stacked` over one another with one x axis."""

    panels: Sequence[Panel]
    stacked: bool = False
