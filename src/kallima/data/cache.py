"""The cache directory, and in it the prepared examples: decoded once, then mapped into memory.

An entry is a directory named by what it was made from. It appears at once and complete, by renaming, and never
changes: `index.json` with the columns' types and what was broken, one file of raw little-endian numbers a column, and
for texts a file of their bytes.
"""

import errno
import json
import mmap
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from kallima.data.source import Problem
from kallima.errors import DataError

_TEXT, _ENDS = "text", "text_ends"  # a text is the bytes between two ends
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ALLOCATION = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}  # file systems that cannot reserve space
RESIDENT_LIMIT = 256 << 20  # bytes of an entry that may stay mapped; the system caches the file all the same
_TOUCHED = 64 << 10  # bytes that one random access maps, at most


def cache_directory() -> Path:
    """Return where kallima keeps what it can make again: $KALLIMA_CACHE, else ~/.cache/kallima (as XDG says)."""
    if own := os.environ.get("KALLIMA_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "kallima"
    return Path.home() / ".cache" / "kallima"


@dataclass(frozen=True)
class Column:
    """What each row of a column holds: a little-endian numpy type such as "<f4", and a shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape))


class Writer:
    """Fills an entry row by row, in memory that does not grow; closed without an error, it leaves a complete directory.

    Raises:
        DataError: the disk is full or cannot be written.
    """

    def __init__(self, directory: Path, columns: Mapping[str, Column], rows: int, texts: bool):
        self.directory, self.columns, self.texts = directory, dict(columns), texts
        if texts:
            self.columns[_ENDS] = Column("<i8", ())
        self.rows = self.end = 0
        self.broken: list[tuple[int, Problem]] = []
        self._files: dict[str, BinaryIO] = {}
        with _writing(), ExitStack() as stack:
            for name in [*self.columns, *[_TEXT] * texts]:
                self._files[name] = stack.enter_context((directory / f"{name}.bin").open("wb"))
            for name, column in self.columns.items():
                _allocate(self._files[name].fileno(), rows * column.row_bytes)
            self._stack = stack.pop_all()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row: an array or number for each column, and the text if there is one."""
        with _writing():
            if self.texts:
                text = str(row[_TEXT]).encode()
                self.end += len(text)
                self._files[_TEXT].write(text)
                row = {**row, _ENDS: self.end}
            for name, column in self.columns.items():
                value = np.asarray(row[name], column.dtype)
                if value.shape != column.shape:
                    raise DataError(f"example {self.rows}: '{name}' has the shape {value.shape}, not {column.shape}")
                self._files[name].write(value.tobytes())
        self.rows += 1

    def skip(self, position: int, problem: Problem) -> None:
        """Note that the source's example `position` is broken."""
        self.broken.append((position, problem))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with _writing():
                    self._finish()
        finally:
            with suppress(OSError):  # closing writes again what could not be written
                self._stack.close()

    def _finish(self) -> None:
        for file in self._files.values():
            file.truncate(file.tell())
            file.flush()
            os.fsync(file.fileno())
        index = {
            "rows": self.rows,
            "columns": {name: [column.dtype, *column.shape] for name, column in self.columns.items()},
            "broken": [[position, problem.path, problem.problem] for position, problem in self.broken],
        }
        with (self.directory / "index.json").open("w") as listing:
            json.dump(index, listing)
            listing.flush()
            os.fsync(listing.fileno())
        _sync(self.directory)


class Entry:
    """A complete entry: `arrays` by column, each (rows, …), read-only and mapped from the disk.

    `broken` holds the source's positions of the examples left out, ascending, and `problems` why.
    """

    def __init__(self, directory: Path):
        index = json.loads((directory / "index.json").read_text())
        self.rows: int = index["rows"]
        self.broken = np.array([position for position, _, _ in index["broken"]], np.int64)
        self.problems = [Problem(path, problem) for _, path, problem in index["broken"]]
        self._maps: dict[str, mmap.mmap] = {}
        self._mapped = self._touched = 0
        self.arrays = {
            name: self._array(directory / f"{name}.bin", Column(dtype, tuple(shape)))
            for name, (dtype, *shape) in index["columns"].items()
        }
        self._ends = self.arrays.pop(_ENDS, None)
        if self._ends is not None:
            self._text = self._map(directory / f"{_TEXT}.bin", int(self._ends[-1]) if self.rows else 0)

    def _map(self, path: Path, size: int) -> mmap.mmap | bytes:
        if path.stat().st_size != size:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, not {size}")
        if size == 0:  # cannot be mapped
            return b""
        with path.open("rb") as file:
            self._maps[path.name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._mapped += size
        return self._maps[path.name]

    def _array(self, path: Path, column: Column) -> np.ndarray:
        data = self._map(path, self.rows * column.row_bytes)
        return np.frombuffer(data, column.dtype).reshape(self.rows, *column.shape)

    def texts(self, indices: np.ndarray) -> list[str]:
        """Return the texts of these rows."""
        if self._ends is None:
            raise KeyError(_TEXT)
        spans = [(int(self._ends[i - 1]) if i else 0, int(self._ends[i])) for i in indices]
        return [self._text[start:end].decode() for start, end in spans]

    def touched(self, rows: int, row_bytes: int) -> None:
        """Count what was read, and give pages back before more than `RESIDENT_LIMIT` of them are held."""
        if self._mapped <= RESIDENT_LIMIT or not hasattr(mmap, "MADV_DONTNEED"):
            return
        self._touched += rows * max(row_bytes, _TOUCHED)
        if self._touched > RESIDENT_LIMIT:
            self._touched = 0
            for mapped in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)


def entry(
    key: str, columns: Mapping[str, Column], rows: int, fill: Callable[[Writer], None], *, texts: bool = False
) -> Entry:
    """Return the entry `key`; where there is none yet, `fill` a writer with at most `rows` rows first.

    Of several processes that ask at once, one fills and the others wait for it. What a killed one left is removed.

    Raises:
        DataError: the cache cannot be written, or the disk is full.
    """
    root = cache_directory() / "prepared"
    found = _open(root / key)
    if found is not None:
        return found
    with _writing():
        root.mkdir(parents=True, exist_ok=True)
    with _lock(root, key) as alone:
        found = _open(root / key)
        if found is not None:
            return found
        if alone:
            _sweep(root, key)
        work = root / f"{key}.tmp-{secrets.token_hex(8)}"
        try:
            with _writing():
                work.mkdir()
            with Writer(work, columns, rows, texts) as writer:
                fill(writer)
            with _writing():
                _publish(work, root / key)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return Entry(root / key)


def _open(directory: Path) -> Entry | None:
    """Open an entry; None where there is none or someone has damaged it."""
    try:
        return Entry(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _publish(work: Path, final: Path) -> None:
    try:
        work.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _open(final) is not None:  # another process was faster, where locks do not work: its entry is as good
            return
        shutil.rmtree(final)
        work.rename(final)
    _sync(final.parent)


def _sweep(root: Path, key: str) -> None:
    """Remove the working directories of killed processes: those whose lock nobody holds."""
    for left in root.glob("*.tmp-*"):
        owner = left.name.partition(".tmp-")[0]
        if owner == key:
            shutil.rmtree(left, ignore_errors=True)
            continue
        with _lock(root, owner, wait=False) as alone:
            if alone:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _lock(root: Path, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of an entry; say whether it is held. Where locks do not work, go on: only work is done twice."""
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    with _writing():
        descriptor = os.open(root / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        alone = True
    except OSError:
        alone = False
    try:
        yield alone
    finally:
        os.close(descriptor)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise DataError(
            f"the cache {cache_directory()} cannot be written ({problem}): "
            "mend that, or set KALLIMA_CACHE to a directory elsewhere"
        ) from error


def _allocate(descriptor: int, size: int) -> None:
    """Reserve the space, so that a full disk is noticed now and not after an hour."""
    if size == 0 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_ALLOCATION:
            raise


def _sync(directory: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
