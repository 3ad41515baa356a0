"""Rows of images with a name beside each: what belongs together stands in a line."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kallima.reporting.grid import COMFORTABLE, GAP, LARGEST_SCALE, image_grid

PAPER, INK = 255, 60
_LETTERS = 13  # pixels: the height of the words beside a row
_LONGEST = 48  # characters of them


class Row(NamedTuple):
    """Examples in the data's units that stand beside one another, and what they are."""

    name: str
    examples: np.ndarray


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


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    # Pillow's own typeface has Latin letters alone
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", _LETTERS)
