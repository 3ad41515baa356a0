"""What an exploration found: rows of examples, and the picture of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kallima.figures import Curve, Dots, Figure, Mark, Panel
from kallima.reporting.figure import draw_figure
from kallima.reporting.grid import COMFORTABLE, GAP, LARGEST_SCALE, image_grid

PAPER, INK = 255, 60
_LETTERS = 13  # pixels: the height of the words beside a row
_LONGEST = 48  # characters of them
_MARGIN = 0.1  # of the data's extent, around points


class Row(NamedTuple):
    """Examples in the data's units that stand beside one another, and what they are."""

    name: str
    examples: np.ndarray


@dataclass(frozen=True)
class Exploration:
    """Rows of examples, their picture, scores by name where the truth is known, and notes on how it was done."""

    rows: Sequence[Row]
    picture: Image.Image
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    notes: Sequence[str] = ()


def draw_rows(rows: Sequence[Row]) -> Image.Image:
    """Draw images uint8 (N, H, W, C) row by row, the name of each row in a margin to the left, if any has one."""
    side, width = rows[0].examples.shape[1:3]
    longest = max(len(row.examples) for row in rows)
    scale = min(LARGEST_SCALE, max(1, round(COMFORTABLE / max(len(rows) * side, longest * width))))
    drawn = [image_grid(row.examples, columns=len(row.examples), scale=scale) for row in rows]
    font, names = _font(), [_shortened(row.name) for row in rows]
    margin = max(round(font.getlength(name)) for name in names)
    margin += 6 * GAP if margin else 0
    height = max(side * scale, _LETTERS + 2)
    canvas = Image.new(
        drawn[0].mode,
        (margin + max(picture.width for picture in drawn), len(rows) * (height + GAP) - GAP),
        (PAPER,) * len(drawn[0].getbands()),
    )
    pen = ImageDraw.Draw(canvas)
    for place, (name, picture) in enumerate(zip(names, drawn, strict=True)):
        top = place * (height + GAP)
        pen.text((3 * GAP, top + height // 2), name, fill=(INK,) * len(canvas.getbands()), font=font, anchor="lm")
        canvas.paste(picture, (margin, top))
    return canvas


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


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    # Pillow's own typeface has Latin letters alone
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", _LETTERS)
