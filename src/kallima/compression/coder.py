"""Whole numbers to bytes and back, by tables of frequencies, through a range coder."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from kallima.errors import DataError, import_extra

EXTRA = ("constriction", "compression")
"""The module that codes, and the extra that brings it."""

MOST = 1 << 24
"""How far from 0 a number may lie: beyond it a float32 is not exact."""

_PIECE = 16  # bits of an escaped number that are written at once
_SHORT = 4096  # bytes of a message whose end is worth shortening
_SLACK = 8  # bytes of the coder's state, within which the end may be chosen


class Step(NamedTuple):
    """Symbols int32 (n,) that are coded one after another by one model."""

    model: Any
    symbols: np.ndarray


class Tables:
    """Tables as models of the range coder; the symbol after a table's last value is the escape."""

    def __init__(self, tables: Sequence[tuple[int, Tensor]]):
        coding = import_extra(*EXTRA)
        self.range = coding.stream.queue
        make, self.uniform = coding.stream.model.Categorical, coding.stream.model.Uniform
        self.first = [first for first, _ in tables]
        counts = [frequencies.numpy() for _, frequencies in tables]
        self.escape = [len(each) - 1 for each in counts]
        # a power of two divides exactly, so these are the same floats, and models, everywhere
        self.models = [make(each / each.sum(), perfect=False) for each in counts]

    def write(self, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> bytes:
        """Return the bytes of parts: of each the values int64, of any shape, and which table each comes from.

        Raises:
            DataError: a value is too large to be one that a trained model gives.
        """
        steps = [step for values, which in parts for step in self._steps(values.ravel(), which.ravel())]
        encoder = self.range.RangeEncoder()
        for step in steps:
            encoder.encode(step.symbols, step.model)
        return self._shortened(encoder.get_compressed().astype(">u4").tobytes(), steps)

    def _steps(self, values: np.ndarray, which: np.ndarray) -> Iterator[Step]:
        if values.size and (values.min() < -MOST or values.max() > MOST):
            raise DataError(
                "has latents that are not finite or out of all bounds: the training of the run has diverged"
            )
        for table, places in _by_table(which):
            symbols = values[places] - self.first[table]
            outside = (symbols < 0) | (symbols >= self.escape[table])
            yield Step(self.models[table], np.where(outside, self.escape[table], symbols).astype(np.int32))
            for symbol in symbols[outside].tolist():
                yield from self._escaped(symbol, self.escape[table])

    def _escaped(self, symbol: int, count: int) -> Iterator[Step]:
        """Write how far outside a symbol is: how many bits that takes, then these but the first, which is 1."""
        away = 2 * -symbol if symbol < 0 else 2 * (symbol - count) + 1  # below 2, 4, 6, …; above 1, 3, 5, …
        bits = away.bit_length() - 1
        yield Step(self.uniform(32), np.array([bits], np.int32))
        for low, width in _pieces(bits):
            yield Step(self.uniform(1 << width), np.array([away >> low & (1 << width) - 1], np.int32))

    def _shortened(self, data: bytes, steps: Sequence[Step]) -> bytes:
        """Return the shortest bytes that, with zeros after them, still read as these steps.

        The coder ends with up to two whole words; of an image of some hundred pixels that is a good part.
        """
        number = int.from_bytes(data)
        for length in range(max(len(data) - _SLACK, 0), len(data) if len(data) <= _SHORT else 0):
            head = number >> 8 * (len(data) - length)
            for end in (head, head + 1):
                if end >> 8 * length == 0 and self._reads(end.to_bytes(length), steps):
                    return end.to_bytes(length)
        return data.rstrip(b"\0")

    def _reads(self, data: bytes, steps: Sequence[Step]) -> bool:
        decoder = self._decoder(data)
        try:
            return all(np.array_equal(decoder.decode(step.model, len(step.symbols)), step.symbols) for step in steps)
        except AssertionError:  # how the coder says that no message reads so
            return False

    def _decoder(self, data: bytes) -> Any:
        padded = data + bytes(-len(data) % 4 + _SLACK)
        return self.range.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def reader(self, data: bytes) -> "Reader":
        """Return what reads parts from bytes that `write` gave."""
        return Reader(self, self._decoder(data))


class Reader:
    """Reads parts, one after another."""

    def __init__(self, tables: Tables, decoder: Any):
        self._tables, self._decoder = tables, decoder

    def read(self, which: np.ndarray) -> np.ndarray:
        """Return the values int64 of a part, given which table each comes from.

        Raises:
            DataError: the bytes are not of such a part.
        """
        values, tables = np.empty(which.size, np.int64), self._tables
        try:
            for table, places in _by_table(which.ravel()):
                symbols = self._decoder.decode(tables.models[table], len(places)).astype(np.int64)
                for place in np.flatnonzero(symbols == tables.escape[table]):
                    symbols[place] = self._escaped(tables.escape[table])
                values[places] = symbols + tables.first[table]
        except AssertionError as error:
            raise DataError("is damaged") from error
        return values.reshape(which.shape)

    def _escaped(self, count: int) -> int:
        away = 1
        for _, width in _pieces(self._one(32)):
            away = away << width | self._one(1 << width)
        return away // 2 + count if away % 2 else -(away // 2)

    def _one(self, size: int) -> int:
        return int(self._decoder.decode(self._tables.uniform(size), 1)[0])


def _by_table(which: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each table that occurs, in order, and the places (n,) where it does."""
    order = np.argsort(which, kind="stable")
    tables, starts = np.unique(which[order], return_index=True)
    yield from zip(tables.tolist(), np.split(order, starts[1:]), strict=True)


def _pieces(bits: int) -> Iterator[tuple[int, int]]:
    """Yield the lowest bit and the width of each piece of a number of so many bits, from the highest on."""
    while bits > 0:
        width = min(bits, _PIECE)
        bits -= width
        yield bits, width
