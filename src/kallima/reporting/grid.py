"""Pictures of samples: images side by side, and points in a plane. Pillow and NumPy alone, for they are drawn often."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kallima.errors import DataError, UsageError
from kallima.files import write_whole

GAP = 2
"""Pixels between two images of a grid."""

GAP_GREY = 128
COMFORTABLE = 512  # pixels: about what the longer side of an enlarged grid should measure
LARGEST_SCALE = 8
SQUARE = 8  # pixels: the side of one field of the checkerboard

INK = (38, 104, 168)
REFERENCE_INK = (150, 150, 150)
RULE = (236, 236, 236)
WORDS = (110, 110, 110)
MARGIN = 0.1  # of the reference's extent, on each side


def image_grid(images: np.ndarray, *, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Lay images uint8 (N, H, W, C) out in rows, from the top left, `GAP` pixels apart.

    C is 1 (grey), 3 (RGB) or 4 (RGBA, drawn over a checkerboard). By default the picture is about square, and small
    images are enlarged by a whole factor, each pixel becoming a square of `scale` by `scale`.

    Raises:
        DataError: the array is not such a stack of images, or it is empty.
        UsageError: `columns` or `scale` is below 1.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3, 4):
        raise DataError(
            f"a grid needs images as uint8 (N, H, W, C) with 1, 3 or 4 channels, not {images.dtype} {images.shape}"
        )
    if images.size == 0:
        raise DataError("there is no image to draw: ask for at least one")
    if (columns is not None and columns < 1) or (scale is not None and scale < 1):
        raise UsageError("a grid needs at least 1 column and a scale of at least 1")
    count, height, width, channels = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count * height / width)))
    rows = -(-count // columns)
    if scale is None:
        scale = min(LARGEST_SCALE, max(1, round(COMFORTABLE / max(rows * height, columns * width))))
    height, width = height * scale, width * scale
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 1 if channels == 1 else 3)
    canvas = np.full(shape, GAP_GREY, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        large = image.repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + height, left : left + width] = _over_checkerboard(large) if channels == 4 else large
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)


def _over_checkerboard(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape[:2]) // SQUARE
    board = np.where((rows + columns) % 2 == 0, 255, 208)[..., None]
    opacity = image[..., 3:].astype(np.int64)
    return ((image[..., :3] * opacity + board * (255 - opacity) + 127) // 255).astype(np.uint8)


def point_plot(points: np.ndarray, reference: np.ndarray | None = None, *, size: int = 512) -> Image.Image:
    """Draw points (N, D) in colour over those of the data, `reference` (M, D), in grey, `size` pixels a side.

    The axes span the reference with a tenth to spare on each side, so every picture of a run has the same ones; both
    have one scale. Without a reference they span the points. One dimension gives a histogram of densities, more than
    two the first two principal axes of the reference. Points that are outside or not finite are counted in words.

    Raises:
        DataError: an array is not (N, D) with D at least 1, or the two differ in D.
    """
    for array in (points, points if reference is None else reference):
        if array.ndim != 2 or array.shape[1] < 1 or array.shape[1] != points.shape[1]:
            raise DataError(f"a plot needs points of shape (N, D), all of one D, not {array.shape}")
    samples = np.asarray(points[np.isfinite(points).all(axis=1)], dtype=np.float64)
    data = None if reference is None else np.asarray(reference[np.isfinite(reference).all(axis=1)], dtype=np.float64)
    basis = samples if data is None else data
    if points.shape[1] > 2:
        axes = _principal_axes(basis)
        samples, data, basis = samples @ axes, None if data is None else data @ axes, basis @ axes
    low, high = _limits(basis)
    canvas = np.full((size, size, 3), 255.0)
    flat = points.shape[1] == 1
    _rule(canvas, low, high, horizontal=not flat)
    if data is not None:
        layer = _bars(data, low, high, size, basis) if flat else _dots(data, low, high, size)
        _ink(canvas, layer, REFERENCE_INK)
    _ink(canvas, _bars(samples, low, high, size, basis) if flat else _dots(samples, low, high, size), INK)
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    inside = ((samples >= low) & (samples <= high)).all(axis=1).sum()
    _annotate(picture, low, high, count=len(points), outside=len(points) - int(inside), reference=data is not None)
    return picture


def _principal_axes(points: np.ndarray) -> np.ndarray:
    """Return the two directions (D, 2) in which the points vary most, each with its largest component positive."""
    centred = points - points.mean(axis=0) if len(points) else np.eye(points.shape[1])
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, :-3:-1]
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])


def _limits(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of a square (or an interval) around the points, with the margin."""
    if not len(basis):
        return -np.ones(basis.shape[1]), np.ones(basis.shape[1])
    low, high = basis.min(axis=0), basis.max(axis=0)
    half = ((high - low).max() or 1.0) * (0.5 + MARGIN)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _dots(points: np.ndarray, low: np.ndarray, high: np.ndarray, size: int) -> np.ndarray:
    """Return the opacity (size, size) of small discs, one at the pixel of each point; the vertical axis points up."""
    points = points[((points >= low) & (points <= high)).all(axis=1)]
    column, row = np.rint((points - low) / (high - low) * (size - 1)).astype(np.int64).T
    row = size - 1 - row
    load = np.zeros(size * size)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            weight = min(1.0, max(0.0, 2.3 - math.hypot(dx, dy)))
            y, x = row + dy, column + dx
            kept = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            load += weight * np.bincount(y[kept] * size + x[kept], minlength=size * size)
    opacity = 0.85 * min(1.0, (300 / max(1, len(points))) ** 0.25)  # where many overlap, each is fainter
    return (1 - (1 - opacity) ** load).reshape(size, size)


def _bars(points: np.ndarray, low: np.ndarray, high: np.ndarray, size: int, basis: np.ndarray) -> np.ndarray:
    """Return the opacity (size, size) of a histogram whose height is fixed by the densest bin of `basis`."""
    edges = np.linspace(low[0], high[0], 65)
    peak = max(1, np.histogram(basis, edges)[0].max()) / max(1, len(basis))
    share = np.histogram(points, edges)[0] / max(1, len(points))
    heights = np.minimum(size, share / peak * 0.75 * size)[np.arange(size) * 64 // size]
    return 0.6 * (np.arange(size, 0, -1)[:, None] <= heights[None, :])


def _ink(canvas: np.ndarray, opacity: np.ndarray, colour: tuple[int, int, int]) -> None:
    canvas += opacity[..., None] * (np.array(colour) - canvas)


def _ticks(low: float, high: float) -> np.ndarray:
    """Return about five round numbers between the limits."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough))
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def _rule(canvas: np.ndarray, low: np.ndarray, high: np.ndarray, *, horizontal: bool) -> None:
    last = len(canvas) - 1
    for tick in _ticks(low[0], high[0]):
        canvas[:, round((tick - low[0]) / (high[0] - low[0]) * last)] = RULE
    if horizontal:
        for tick in _ticks(low[1], high[1]):
            canvas[last - round((tick - low[1]) / (high[1] - low[1]) * last)] = RULE


def _annotate(
    picture: Image.Image, low: np.ndarray, high: np.ndarray, *, count: int, outside: int, reference: bool
) -> None:
    draw, last = ImageDraw.Draw(picture), picture.height - 1
    for tick in _ticks(low[0], high[0]):
        draw.text((round((tick - low[0]) / (high[0] - low[0]) * last) + 3, last - 12), f"{tick:.4g}", fill=WORDS)
    if len(low) > 1:
        for tick in _ticks(low[1], high[1]):
            draw.text((3, last - round((tick - low[1]) / (high[1] - low[1]) * last) + 1), f"{tick:.4g}", fill=WORDS)
    lines = [(f"{count:,} samples" + (f", {outside:,} not shown" if outside else ""), INK)]
    if reference:
        lines.append(("data", REFERENCE_INK))
    for index, (words, colour) in enumerate(lines):
        y = 8 + 14 * index
        draw.rectangle((picture.width - 160, y + 2, picture.width - 153, y + 9), fill=colour)
        draw.text((picture.width - 147, y), words, fill=WORDS)


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write the picture whole or not at all, in the format that the ending of `path` names (.png, .jpg, .webp, …).

    Raises:
        UsageError: no picture format has that ending.
        RunError: the file cannot be written.
    """
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise UsageError(f"cannot write a picture as '{path.name}': let the name end in .png")
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    write_whole(path, buffer.getvalue())
