"""What an exploration found: rows of examples, and the picture of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from PIL import Image

from kallima.figures import Curve, Dots, Figure, Mark, Panel
from kallima.reporting.figure import draw_figure
from kallima.reporting.rows import Row

_MARGIN = 0.1  # of the data's extent, around points


@dataclass(frozen=True)
class Exploration:
    """Rows of examples, their picture, scores by name where the truth is known, and notes on how it was done."""

    rows: Sequence[Row]
    picture: Image.Image
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    notes: Sequence[str] = ()


def draw_walks(rows: Sequence[Row], data: np.ndarray, title: str) -> Image.Image:
    """Draw points (N, 2) row by row as the lines that they walk, over those of the data (M, 2)."""
    gap = np.full((1, 2), np.nan)  # where the pen is lifted
    line = np.concatenate([part for row in rows for part in (row.examples, gap)])
    marks: list[Mark] = [Dots("data", data, "data"), Curve("ways", line[:, 0], line[:, 1], "model")]
    ends = np.concatenate([row.examples[[0, -1]] for row in rows])
    return draw_figure(Figure([_panel("", [*marks, Dots("ends", ends, "model", "dot")], data)]), title)


def draw_clouds(rows: Sequence[Row], data: np.ndarray, title: str) -> Image.Image:
    """Draw points (N, 2), a panel a row, over those of the data (M, 2)."""
    panels = [_panel(name, [Dots("data", data, "data"), Dots("made", made, "model")], data) for name, made in rows]
    return draw_figure(Figure(panels), title)


def _panel(title: str, marks: Sequence[Mark], data: np.ndarray) -> Panel:
    low, high = data.min(0), data.max(0)
    middle, half = (low + high) / 2, ((high - low).max() or 1.0) * (0.5 + _MARGIN)
    x, y = ((float(m - half), float(m + half)) for m in middle)
    return Panel(title, "", "", x, y, marks, equal=True)
