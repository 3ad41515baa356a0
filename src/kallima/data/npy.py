"""Arrays in an .npz or .npy, read in pieces: the memory taken does not grow with the file, and no pickle is loaded."""

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from kallima.errors import DataError

CHUNK_BYTES = 1 << 20
EXAMPLE_LIMIT = 1 << 30
"""An example of more bytes is refused: it is held in memory."""
WHOLE_LIMIT = 1 << 30
"""The same for what must be loaded at once: labels, and arrays stored column by column."""

_FAILURES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Header:
    """What an array is like; `by_column` means that its first axis runs fastest (Fortran's order)."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool

    def __str__(self) -> str:
        return f"{self.shape} {'objects' if self.dtype.hasobject else self.dtype}"


class ArrayFile:
    """The arrays in an .npz, or the one in an .npy, which is called "" here.

    Raises:
        DataError: the file is missing, empty, damaged, or neither.
    """

    def __init__(self, path: Path):
        self.path = path
        self.headers: dict[str, Header] = {}
        try:
            with path.open("rb") as file:
                start = file.read(6)
            if not start:
                raise DataError(f"{path} is empty")
            self._zipped = start.startswith(b"PK")
            if not self._zipped and start != b"\x93NUMPY":
                raise DataError(f"{path} is neither .npz nor .npy, whatever it is called")
            names = [""]
            if self._zipped:
                with zipfile.ZipFile(path) as archive:
                    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            for name in names:
                with self._opened(name) as stream:
                    self.headers[name] = _read_header(stream)
        except FileNotFoundError:
            raise DataError(f"no such file: {path}") from None
        except _FAILURES as error:
            raise self._damaged(error) from error

    def chunks(self, name: str) -> Iterator[np.ndarray]:
        """Yield consecutive parts (n, …) of an array, each of about `CHUNK_BYTES`, writable and of the stored type.

        Raises:
            DataError: the array holds objects, ends early, or has examples over `EXAMPLE_LIMIT`.
        """
        header = self.headers[name]
        count, *rest = header.shape
        row_bytes = math.prod(rest) * header.dtype.itemsize
        self._demand_plain(name)
        if row_bytes > EXAMPLE_LIMIT:
            raise DataError(f"{self.where(name)} has examples of {row_bytes:,} bytes, more than {EXAMPLE_LIMIT:,}")
        if header.by_column:
            yield from self._by_column(name)
            return
        rows = max(1, CHUNK_BYTES // max(row_bytes, 1))
        try:
            with self._opened(name) as stream:
                _read_header(stream)
                for start in range(0, count, rows):
                    size = min(rows, count - start)
                    yield self._read(stream, name, (size, *rest))
        except _FAILURES as error:
            raise self._damaged(error) from error

    def load(self, name: str) -> np.ndarray:
        """Return a whole array.

        Raises:
            DataError: as for `chunks`, or it is over `WHOLE_LIMIT`.
        """
        self._demand_whole(name)
        header = self.headers[name]
        if not header.shape:
            raise DataError(f"{self.where(name)} is a single number, not an array")
        return np.concatenate([np.empty((0, *header.shape[1:]), header.dtype), *self.chunks(name)])

    def number(self, name: str) -> float:
        """Return an array of one number.

        Raises:
            DataError: it is none.
        """
        header = self.headers[name]
        if math.prod(header.shape) != 1 or header.dtype.kind not in "iuf":
            raise DataError(f"{self.where(name)} is {header}, not a single number")
        try:
            with self._opened(name) as stream:
                _read_header(stream)
                return float(self._read(stream, name, (1,))[0])
        except _FAILURES as error:
            raise self._damaged(error) from error

    def _by_column(self, name: str) -> Iterator[np.ndarray]:
        self._demand_whole(name)
        shape = self.headers[name].shape
        try:
            with self._opened(name) as stream:
                _read_header(stream)
                whole = self._read(stream, name, shape[::-1]).T
        except _FAILURES as error:
            raise self._damaged(error) from error
        rows = max(1, CHUNK_BYTES // max(whole[:1].nbytes, 1))
        for start in range(0, shape[0], rows):
            yield np.ascontiguousarray(whole[start : start + rows])

    def _read(self, stream: IO[bytes], name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = self.headers[name].dtype
        wanted = math.prod(shape) * dtype.itemsize
        data = bytearray()
        while len(data) < wanted and (part := stream.read(wanted - len(data))):
            data += part
        if len(data) < wanted:
            raise DataError(f"{self.where(name)} is cut short: it ends before its last number")
        return np.frombuffer(data, dtype).reshape(shape)

    def _demand_plain(self, name: str) -> None:
        if self.headers[name].dtype.hasobject:
            raise DataError(f"{self.where(name)} holds Python objects, which are never loaded: save plain numbers")

    def _demand_whole(self, name: str) -> None:
        header = self.headers[name]
        if math.prod(header.shape) * header.dtype.itemsize > WHOLE_LIMIT:
            raise DataError(
                f"{self.where(name)} is over {WHOLE_LIMIT >> 30} GB"
                + (" and stored column by column: save np.ascontiguousarray of it" if header.by_column else "")
            )

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        if not self._zipped:
            with self.path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as stream:
            yield stream

    def where(self, name: str) -> str:
        """Name an array and its file, for messages."""
        return f"'{name}' in {self.path}" if name else str(self.path)

    def _damaged(self, error: Exception) -> DataError:
        if isinstance(error, OSError) and error.strerror:
            return DataError(f"{self.path} cannot be read ({error.strerror})")
        return DataError(f"{self.path} is cut short or damaged ({str(error).partition(chr(10))[0]})")


def _read_header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version[0]}.{version[1]} is not known")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote it
        shape, by_column, dtype = read(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    return Header(shape, dtype, by_column)
