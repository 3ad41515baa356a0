"""Arrays in an .npz or .npy: points (N, D), images (N, H, W), (N, H, W, C) or (N, C, H, W), or videos (N, T, H, W, C).

Beside them may lie what they are of.

What the numbers of images mean follows from their type and, over all splits together, their range:

- uint8 as they are; booleans 0 and 255;
- other whole numbers: within [0, 255] as they are; uint16 beyond that v / 257, rounded;
- floating point: within [0, 1] v · 255, else within [-1, 1] (v + 1) · 127.5, rounded;
- where the file holds an array `palette` (K, 3) beside them, whole numbers (N, H, W) as places in it.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kallima.data.companions import NAMED, SENSED, companions
from kallima.data.fingerprint import file_digest, remember, stamp
from kallima.data.images import PIXEL_LIMIT
from kallima.data.npy import ArrayFile
from kallima.data.sound import Hearing
from kallima.data.source import Example, Source, demand_split
from kallima.data.spec import Audio, Field, Image, Points, Video
from kallima.errors import DataError, UsageError, did_you_mean

_PAIRS = {"x": "y", "images": "labels", "video": "labels", "index": "labels"}
_VIDEO = "video"  # of this name, an array (N, T, H, W) is one of grey videos and not of images
_PALETTE = "palette"
_BEYOND = 1e-6  # rounding may carry floating-point numbers this far over their range


class NpzArrays(Source):
    """One array of examples out of an .npz, and the arrays beside it that tell more of them; or the array in an .npy.

    The examples are `samples`, or `x_train` and `x_test` by split, or `x`, `images`, `video`, or `index` with its
    `palette`; the labels `y_train` and `y_test`, `y`, or `labels`: whole numbers or words, which an array `classes` may
    name. Besides those there may be,
    each with `_train` and `_test` where the examples have it:

    - `domain` (N,), like labels, which `domain_names` may name;
    - `attributes` (N, A) of 0 and 1, which `attribute_names` may name;
    - `values` (N, V), any finite numbers, which `value_names` may name;
    - `text` (N,), strings; `audio` (N, T), int16 or floating point in [-1, 1], and its samples a second in `rate`.

    `samples`, and any other array that `key` names, are read alone. Points and values are standardised by their mean
    and deviation over the train split.

    Raises:
        DataError: the file is damaged or lacks what is asked for; an array holds NaN, or numbers of unknown meaning;
            examples and labels differ in number, or the splits in shape.
        UsageError: `key` names no array in the file.
    """

    def __init__(self, path: Path | str, split: str = "train", key: str | None = None):
        self.path = Path(path).absolute()
        self.name, self.split = str(self.path), split
        self._file = ArrayFile(self.path)
        self._stamps = [stamp("", self.path.stat())]
        chosen = _choose(self._file, key)
        self.splits = tuple(chosen)
        demand_split(split, self.splits, str(path))
        self._array, self._key = chosen[split][0], key
        for examples, _ in chosen.values():
            self._demand_shape(examples)
        self._companions = companions(self._file, chosen, split)
        shape = self._file.headers[self._array].shape
        statistics = {each: self._statistics(examples) for each, (examples, _) in chosen.items()}
        if len(shape) == 2:
            first = statistics[self.splits[0]]
            self._layout = None
            kind: Field = Points(shape[1], tuple(first.mean), tuple(first.scale))
        elif (palette := self._read_palette(shape, statistics.values())) is not None:
            self._layout = _Layout(shape[1], shape[2], palette.shape[1], False)
            kind = Image(palette.shape[1], shape[1], shape[2], tuple(map(tuple, palette.tolist())))
        else:
            self._layout = _layout(self._file.where(self._array), shape, self._array == _VIDEO)
            low, high = (min(s.low for s in statistics.values()), max(s.high for s in statistics.values()))
            self._low, self._high = low, high
            self._demand_known_range()
            kind = self._layout.field
        more = {name: companion.field for name, companion in self._companions.items()}
        self._name = type(kind).__name__.lower()
        self._rate: dict[str, int] = {}
        if isinstance(audio := more.get("audio"), Audio):
            assert audio.rate is not None
            assert audio.samples is not None
            seconds = audio.samples / audio.rate
            self._rate = {"rate": audio.rate}
            self.hearing = Hearing({audio.rate: len(self)}, seconds, seconds, audio.samples)
        self.fields: Mapping[str, Field] = {self._name: kind, **more}

    def __len__(self) -> int:
        return self._file.headers[self._array].shape[0]

    def examples(self) -> Iterator[Example]:
        """Yield every example in order; a broken array has been refused as a whole."""
        index = 0
        for chunk in self._file.chunks(self._array):
            for row in chunk.astype(np.float32) if self._layout is None else self._to_bytes(chunk, self._layout):
                beside = {each: companion.of(index) for each, companion in self._companions.items()}
                yield {self._name: row, **beside, **self._rate}
                index += 1

    def fingerprint(self) -> str:
        """Return the SHA-256 over the file's bytes, the key and the split."""
        digest = remember(f"bytes {self.name}", self._stamps, lambda: file_digest(self.path))
        return hashlib.sha256(f"{digest} {self._key} {self.split}".encode()).hexdigest()

    def _demand_shape(self, examples: str) -> None:
        shape = self._file.headers[examples].shape
        if len(shape) < 2 or 0 in shape:
            known = "points (N, D) nor images (N, H, W) or (N, H, W, C) nor videos (N, T, H, W, C)"
            what = "is empty" if 0 in shape else f"is neither {known}"
            raise DataError(f"{self._file.where(examples)} has the shape {shape}: it {what}")
        if shape[1:] != self._file.headers[self._array].shape[1:]:
            raise DataError(f"'{examples}' and '{self._array}' in {self.path} differ in the shape of an example")

    def _statistics(self, array: str) -> "_Statistics":
        """Look at every number of an array, once: where its type alone does not say what it means."""
        header = self._file.headers[array]
        if header.dtype.kind not in "fiub":
            what = "Python objects, which are never loaded" if header.dtype.hasobject else str(header.dtype)
            raise DataError(f"{self._file.where(array)} holds {what}: save plain numbers")
        if len(header.shape) > 2 and header.dtype in (np.uint8, np.bool_):
            return _Statistics(0, -1, 0, 255, [], [])
        question = f"statistics {array} {self.name}"
        found = remember(question, self._stamps, lambda: _measure(self._file.chunks(array), len(header.shape) == 2))
        statistics = _Statistics(*found)
        if statistics.bad:
            raise DataError(
                f"{self._file.where(array)} holds {statistics.bad} values that are NaN or infinite, "
                f"the first in example {statistics.first_bad}: mend or leave out those examples"
            )
        return statistics

    def _read_palette(self, shape: tuple[int, ...], statistics: Iterable["_Statistics"]) -> np.ndarray | None:
        """Return the colours (K, 3) that the numbers of the images are places in, if they are.

        Raises:
            DataError: the palette is no list of different colours, or a number is beyond it.
        """
        self._palette = None
        if len(shape) != 3 or _PALETTE not in self._file.headers or self._key is not None:
            return None
        where, header = self._file.where(_PALETTE), self._file.headers[_PALETTE]
        numbers = self._file.headers[self._array].dtype
        if len(header.shape) != 2 or header.shape[1] not in (1, 3) or not 0 < header.shape[0] <= 1 << 16:
            raise DataError(f"{where} has the shape {header.shape}: a palette is (K, 3), a colour a row")
        palette = self._file.load(_PALETTE)
        if palette.dtype.kind not in "iu" or palette.min() < 0 or palette.max() > 255:
            raise DataError(f"{where} holds {palette.dtype} numbers that are no colours: save them as uint8")
        if len(np.unique(palette, axis=0)) < len(palette):
            raise DataError(f"{where} has a colour twice: each place is to be a colour of its own")
        highest = int(max(max((int(chunk.max()) for chunk in self._file.chunks(self._array)), default=0), 0))
        if numbers.kind not in "iu" or min(each.low for each in statistics) < 0 or highest >= len(palette):
            raise DataError(
                f"{self._file.where(self._array)} holds {numbers} numbers up to {highest}, and the palette has "
                f"{len(palette)} colours: number them from 0"
            )
        self._palette = palette.astype(np.uint8)
        return self._palette

    def _demand_known_range(self) -> None:
        dtype, low, high = self._file.headers[self._array].dtype, self._low, self._high
        if dtype.kind == "f":
            known = low >= -1 - _BEYOND and high <= 1 + _BEYOND
            remedy = "scale them to [0, 1] or [-1, 1], or save them as uint8"
        else:
            known = low >= 0 and high <= (65535 if dtype.itemsize == 2 and dtype.kind == "u" else 255)
            remedy = "save them as uint8"
        if not known:
            raise DataError(f"{self._file.where(self._array)} holds {dtype} images from {low:g} to {high:g}: {remedy}")

    def _to_bytes(self, chunk: np.ndarray, layout: "_Layout") -> np.ndarray:
        """Turn part of an array into uint8 (n, H, W, C)."""
        if self._palette is not None:
            return self._palette[chunk]
        if chunk.dtype.kind == "f":
            values = chunk.astype(np.float32)
            values = values * 255 if self._low >= -_BEYOND else (values + 1) * 127.5
            chunk = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        elif chunk.dtype.kind == "b":
            chunk = chunk.astype(np.uint8) * 255
        elif self._high > 255:
            chunk = ((chunk.astype(np.uint32) + 128) // 257).astype(np.uint8)
        chunk = chunk.astype(np.uint8, copy=False)
        if layout.channels_first:
            chunk = np.ascontiguousarray(np.moveaxis(chunk, -3, -1))
        return chunk.reshape(
            len(chunk), *([layout.frames] if layout.frames else []), layout.height, layout.width, layout.channels
        )


@dataclass(frozen=True)
class _Layout:
    height: int
    width: int
    channels: int
    channels_first: bool
    frames: int | None = None  # of a video

    @property
    def field(self) -> Image | Video:
        if self.frames is None:
            return Image(self.channels, self.height, self.width)
        return Video(self.frames, self.channels, self.height, self.width)


def _layout(where: str, shape: tuple[int, ...], video: bool) -> _Layout:
    layout = None
    if len(shape) == 5 or (video and len(shape) == 4):
        frame = _layout(where, (shape[0], *shape[2:]), False)
        return dataclasses.replace(frame, frames=shape[1])
    if len(shape) == 3:
        layout = _Layout(shape[1], shape[2], 1, False)
    elif len(shape) == 4 and shape[3] in (1, 3, 4):
        layout = _Layout(*shape[1:], False)
    elif len(shape) == 4 and shape[1] in (1, 3, 4):
        layout = _Layout(shape[2], shape[3], shape[1], True)
    if layout is None:
        raise DataError(f"{where} has the shape {shape}: images are (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels")
    if layout.height * layout.width > PIXEL_LIMIT:
        raise DataError(f"{where} has images of {layout.width}×{layout.height}, more than {PIXEL_LIMIT:,} pixels")
    return layout


def _choose(file: ArrayFile, key: str | None) -> dict[str, tuple[str, dict[str, str]]]:
    """Return by split the name of the array of examples, and by field those of its companions."""
    there = file.headers
    if "" in there:
        if key is not None:
            raise UsageError(f"--key {key}: {file.path} is an .npy, which holds one array without a name")
        return {"train": ("", {})}
    held = ", ".join(f"{name} {header}" for name, header in there.items()) or "nothing"
    if key is not None:
        if key not in there:
            raise UsageError(f"{file.path} has no array '{key}'{did_you_mean(key, there)} (it holds {held})")
        return {"train": (key, {})}
    if "samples" in there:
        return {"train": ("samples", {})}
    chosen = {split: (f"x_{split}", f"y_{split}", f"_{split}") for split in ("train", "test") if f"x_{split}" in there}
    if not chosen and (single := next((x for x in _PAIRS if x in there), None)):
        chosen = {"train": (single, _PAIRS[single], "")}
    if not chosen:
        names = "samples, x, x_train, images or video"
        raise DataError(f"{file.path} has no array {names}: choose one with --key (it holds {held})")
    return {
        split: (x, {name: array for name, array in (("label", y), *_beside(suffix)) if array in there})
        for split, (x, y, suffix) in chosen.items()
    }


def _beside(suffix: str) -> list[tuple[str, str]]:
    return [(name, name + suffix) for name in (*NAMED, *SENSED) if name != "label"]


@dataclass(frozen=True)
class _Statistics:
    """What the numbers of an array are like; mean and scale by dimension, for points alone."""

    bad: int  # NaN or infinite
    first_bad: int  # the example
    low: float
    high: float
    mean: list[float]
    scale: list[float]  # the standard deviation, 1 where a dimension is constant


def _measure(chunks: Iterator[np.ndarray], points: bool) -> list[Any]:
    """Gather `_Statistics` as JSON; the moments are merged chunk by chunk (Chan, Golub & LeVeque 1983)."""
    bad, first_bad, count = 0, -1, 0
    low = high = mean = squares = np.zeros(0)
    for chunk in chunks:
        with np.errstate(over="ignore"):
            values = chunk.reshape(len(chunk), -1).astype(np.float64)
        finite = np.abs(values) <= np.finfo(np.float32).max  # as which it is read; NaN compares false
        if not finite.all():
            bad += int((~finite).sum())
            first_bad = count + int(np.argmin(finite.all(axis=1))) if first_bad < 0 else first_bad
        if bad:
            count += len(chunk)
            continue
        if not points:
            values = values.reshape(-1, 1)
        least, most = values.min(axis=0), values.max(axis=0)
        low, high = (np.minimum(low, least), np.maximum(high, most)) if count else (least, most)
        if points:
            size, centre = len(values), values.mean(axis=0)
            spread = ((values - centre) ** 2).sum(axis=0)
            if count:
                shift, total = centre - mean, count + size
                squares = squares + spread + shift**2 * (count * size / total)
                mean = mean + shift * (size / total)
            else:
                mean, squares = centre, spread
        count += len(chunk)
    if bad:
        return [bad, first_bad, 0.0, 0.0, [], []]
    scale = np.where((low == high) | (squares == 0), 1.0, np.sqrt(squares / count)) if points else squares
    return [0, -1, float(low.min()), float(high.max()), mean.tolist(), scale.tolist()]
