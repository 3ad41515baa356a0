"""The picture of the most suspect samples, each beside the training images that it is nearest to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kallima.reporting.grid import GAP, LARGEST_SCALE, image_grid, save_picture

NAME = "neighbours.png"
"""Its file in a run directory, beside the scores."""

_ACROSS = 3  # groups side by side
_WIDE = 1024  # pixels: about what the picture should measure across
_SIDE = 128  # pixels: the longer side of a large image in it


def keep_neighbours(run: Path) -> Callable[[Any], None]:
    """Remove the picture of an earlier judgement, and return what writes one from images uint8 (R, 1 + k, H, W, C)."""
    (run / NAME).unlink(missing_ok=True)
    return lambda pictures: save_picture(run / NAME, neighbour_grid(np.asarray(pictures)))


def neighbour_grid(pictures: np.ndarray) -> Image.Image:
    """Draw groups of images uint8 (R, 1 + k, H, W, C): the first of each, a gap, then the others beside it."""
    groups = [_small(group) for group in pictures]
    members, _, width, _ = groups[0].shape
    across = max(1, min(len(groups), _ACROSS, round(_WIDE / (members * width))))
    scale = min(LARGEST_SCALE, max(1, round(_WIDE / (across * members * width))))
    drawn = [_group(group, scale) for group in groups]
    wide, high = drawn[0].size
    gap = 10 * GAP
    canvas = _blank(drawn[0], across * (wide + gap) - gap, -(-len(drawn) // across) * (high + gap) - gap)
    for place, group in enumerate(drawn):
        canvas.paste(group, (place % across * (wide + gap), place // across * (high + gap)))
    return canvas


def _group(images: np.ndarray, scale: int) -> Image.Image:
    first, others = (image_grid(some, columns=len(some), scale=scale) for some in (images[:1], images[1:]))
    gap = 3 * GAP
    group = _blank(first, first.width + gap + others.width, first.height)
    group.paste(first, (0, 0))
    group.paste(others, (first.width + gap, 0))
    return group


def _blank(like: Image.Image, width: int, height: int) -> Image.Image:
    return Image.new(like.mode, (width, height), (255,) * len(like.getbands()))


def _small(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) reduced where they are large."""
    height, width, channels = images.shape[1:]
    share = _SIDE / max(height, width)
    if share >= 1:
        return images
    size = max(1, round(width * share)), max(1, round(height * share))
    reduced = [
        Image.fromarray(x[..., 0] if channels == 1 else x).resize(size, Image.Resampling.LANCZOS) for x in images
    ]
    return np.stack([np.asarray(x).reshape(size[1], size[0], channels) for x in reduced])
