"""Images in the idx format of MNIST, gzipped or not: `train-images-idx3-ubyte` with its labels and its test set.

http://yann.lecun.com/exdb/mnist: two zero bytes, the type, the number of axes, each axis as a big-endian 32-bit number,
then the values, the last axis fastest.
"""

import gzip
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from kallima.data.fingerprint import file_digest, remember, stamp
from kallima.data.images import PIXEL_LIMIT
from kallima.data.metadata import class_names
from kallima.data.source import Example, Source, demand_split
from kallima.data.spec import Field, Image, Label
from kallima.errors import DataError

_UNSIGNED_BYTES = 8
_CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"images[-._]idx\d[-._]ubyte(\.gz)?$")
_TRAIN = re.compile(r"train-images[-._]idx\d[-._]ubyte(\.gz)?$")
_FAILURES = (EOFError, OSError, zlib.error)


class IdxImages(Source):
    """The images in an idx file, and the labels in the file beside it that is named alike.

    `path` is the file of images, or a folder with one `train-images-idx3-ubyte`. Where the name says train and a file
    of the same name with t10k (or test) lies beside it, that is the split "test".

    Raises:
        DataError: a file is missing, damaged, cut short or of another type; images and labels differ in number; there
            is no such split.
    """

    def __init__(self, path: Path | str, split: str = "train"):
        given = Path(path).absolute()
        self.name, self.split = str(given), split
        files = _splits(_train_file(given) if given.is_dir() else given)
        self.splits = tuple(files)
        demand_split(split, self.splits, str(path))
        self.path = files[split]
        self._shape = _shape(self.path)
        self._label_path = _beside(self.path, "images", "labels")
        if len(self._shape) not in (3, 4) or (len(self._shape) == 4 and self._shape[3] not in (1, 3, 4)):
            raise DataError(f"{self.path} has the shape {self._shape}: images are (N, H, W), the idx3 file")
        count, height, width, *channels = self._shape
        if 0 in self._shape or height * width > PIXEL_LIMIT:
            raise DataError(f"{self.path} has the shape {self._shape}: empty, or over {PIXEL_LIMIT:,} pixels an image")
        self.fields: Mapping[str, Field] = {"image": Image(channels[0] if channels else 1, height, width)}
        self._labels: np.ndarray | None = None
        if self._label_path is not None:
            labels = {file: _labels(file) for each in files.values() if (file := _beside(each, "images", "labels"))}
            classes = class_names(str(number) for each in labels.values() for number in np.unique(each))
            own = labels[self._label_path]
            if len(own) != count:
                raise DataError(f"{self.path} holds {count} images, but {self._label_path} {len(own)} labels")
            self._labels = np.searchsorted(np.array([int(name) for name in classes]), own)
            self.fields = {**self.fields, "label": Label(classes)}

    def __len__(self) -> int:
        return self._shape[0]

    def examples(self) -> Iterator[Example]:
        """Yield every example in order; a damaged file has been refused as a whole."""
        count, height, width, *channels = self._shape
        size = height * width * (channels[0] if channels else 1)
        with _opened(self.path) as stream:
            stream.read(4 + 4 * len(self._shape))
            for index in range(count):
                try:
                    pixels = np.frombuffer(bytearray(stream.read(size)), np.uint8).reshape(height, width, -1)
                except (*_FAILURES, ValueError) as error:
                    raise DataError(f"{self.path} is cut short or damaged ({error})") from error
                example: dict[str, Any] = {"image": pixels}
                if self._labels is not None:
                    example["label"] = int(self._labels[index])
                yield example

    def fingerprint(self) -> str:
        """Return the SHA-256 over the bytes of images and labels, and the split."""
        digests = [
            remember(f"bytes {file}", [stamp("", file.stat())], partial(file_digest, file))
            for file in (self.path, self._label_path)
            if file is not None
        ]
        return hashlib.sha256(" ".join([*digests, self.split]).encode()).hexdigest()


def is_idx(path: Path) -> bool:
    """Say whether a file is named like idx images or begins like them, or a folder holds such a file."""
    if path.is_dir():
        return any(_TRAIN.search(file.name) for file in path.iterdir())
    if _NAME.search(path.name):
        return True
    try:
        with _opened(path) as stream:
            return stream.read(4) in (b"\0\0\x08\x03", b"\0\0\x08\x04")
    except _FAILURES:
        return False


def _train_file(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if _TRAIN.search(file.name))
    distinct = {file.name.removesuffix(".gz") for file in files}
    if len(distinct) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder} must hold one train-images-idx3-ubyte, not {names}: give the file itself")
    return files[0]


def _splits(images: Path) -> dict[str, Path]:
    """Return the file of each split."""
    for word in ("t10k", "test"):
        if "train" in images.name and (test := _beside(images, "train", word)) is not None:
            return {"train": images, "test": test}
    return {"train": images}


def _beside(path: Path, word: str, other: str) -> Path | None:
    """Return the file that is named like `path` but for one word, gzipped or not."""
    if word not in path.name:
        return None
    name = path.name.removesuffix(".gz").replace(word, other)
    if other == "labels":
        name = re.sub(r"idx\d", "idx1", name)
    found = (path.with_name(name + end) for end in ("", ".gz"))
    return next((file for file in found if file.is_file()), None)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if compressed else path.open("rb")


def _shape(path: Path) -> tuple[int, ...]:
    """Return the shape in the header, having seen that as many bytes follow."""
    try:
        with _opened(path) as stream:
            magic = stream.read(4)
            if not magic:
                raise DataError(f"{path} is empty")
            if magic[:2] != b"\0\0" or len(magic) < 4:
                raise DataError(f"{path} is no idx file: it begins with {magic.hex(' ')}, not with 00 00 08")
            if magic[2] != _UNSIGNED_BYTES:
                raise DataError(f"{path} holds idx type 0x{magic[2]:02x}: only unsigned bytes (0x08) are known")
            axes = stream.read(4 * magic[3])
            if len(axes) < 4 * magic[3]:
                raise DataError(f"{path} is cut short within its header")
        shape = struct.unpack(f">{magic[3]}I", axes)
        held = remember(f"length {path}", [stamp("", path.stat())], lambda: _length(path))
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except _FAILURES as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} is cut short or damaged ({reason})") from error
    told = 4 + len(axes) + math.prod(shape)
    if held != told:
        raise DataError(f"{path} is cut short or damaged: its header tells of {told:,} bytes, it holds {held:,}")
    return shape


def _length(path: Path) -> int:
    with _opened(path) as stream:
        return sum(len(part) for part in iter(lambda: stream.read(_CHUNK_BYTES), b""))


def _labels(path: Path) -> np.ndarray:
    shape = _shape(path)
    if len(shape) != 1:
        raise DataError(f"{path} has the shape {shape}: labels are (N,), the idx1 file")
    with _opened(path) as stream:
        return np.frombuffer(stream.read()[8:], np.uint8)
