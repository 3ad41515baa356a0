"""Logs of this and of any other program: events.jsonl, other JSON lines, CSV."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kallima.diagnosis.record import STEP_NAMES, Record, record_of, words
from kallima.errors import DataError, UsageError

MOST_BYTES = 2 << 30  # of a log: what is larger is no log


def read_log(path: Path, columns: Sequence[str] | None = None) -> Record:
    """Read a log: JSON lines (.jsonl, .json, .ndjson) or else a table, parted by commas, semicolons or tabs.

    A table's first line names its columns, of which one is the step; without such a line, or to call them otherwise,
    `columns` names them from left to right. Where it has just the names of the first line, it chooses among them.
    Cells that are empty are passed over.

    Raises:
        DataError: the file is missing, or no log can be read from it.
        UsageError: `columns` has no step, or does not go with the file.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than 2 GiB: that is no log of scalars")
        if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
            if columns is not None:
                raise UsageError(f"--columns goes with a table; {path} names its values itself")
            record = record_of(_json_events(path))
        else:
            record = record_of(_table_events(path, columns))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not record.names:
        raise DataError(f"{path} holds no series: it needs a step and a number on each line")
    return record


def _json_events(path: Path) -> Iterator[tuple[float, str, float]]:
    """Yield the events of JSON lines: ours have a step, a name and a value, others a step and named values."""
    with path.open("rb") as file:
        for line in file:
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the last line may be half written
            if not isinstance(item, dict):
                continue
            if isinstance(item.get("name"), str) and "value" in item:
                step = _number(item.get("step"))
                if step is not None:
                    value = _number(item["value"])
                    yield step, item["name"], math.nan if value is None else value
            else:
                yield from _wide(item)


def _wide(item: Mapping[str, Any]) -> Iterator[tuple[float, str, float]]:
    numbers = {name: _number(value.get("mean") if isinstance(value, dict) else value) for name, value in item.items()}
    place = next((name for wanted in STEP_NAMES for name in numbers if words(name).endswith(wanted)), None)
    step = None if place is None else numbers.pop(place)
    if step is not None:
        yield from ((step, name, value) for name, value in numbers.items() if value is not None)


def _table_events(path: Path, columns: Sequence[str] | None) -> Iterator[tuple[float, str, float]]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        head = file.read(65536)
        file.seek(0)
        first = head.partition("\n")[0]
        rows = csv.reader(file, delimiter=max(",;\t", key=first.count))
        row = next(rows, None)
        if row is None:
            raise DataError(f"{path} is empty")
        titles = [cell.strip() for cell in row] if any(c.strip() and _number(c) is None for c in row) else None
        names = _names(path, titles, len(row), columns)
        step_at = _step_column(path, names)
        if titles is None:
            yield from _cells(row, names, step_at)
        for row in rows:
            yield from _cells(row, names, step_at)


def _names(path: Path, titles: list[str] | None, width: int, columns: Sequence[str] | None) -> list[str]:
    """Return the name of each column, empty for those that are passed over."""
    if columns is None:
        if titles is None:
            raise UsageError(f"{path} does not name its columns: say what they are with --columns step,d_loss,…")
        return titles
    if titles is not None and set(columns) <= set(titles):
        return [title if title in columns else "" for title in titles]
    if len(columns) > width:
        raise UsageError(f"--columns names {len(columns)} columns, but {path} has {width}")
    return [*columns, *[""] * (width - len(columns))]


def _step_column(path: Path, names: Sequence[str]) -> int:
    said = [words(name) for name in names]
    for wanted in STEP_NAMES:
        if wanted in said:
            return said.index(wanted)
    raise UsageError(f"no column of {path} is a step ({', '.join(filter(None, names))}): name one 'step' by --columns")


def _cells(row: Sequence[str], names: Sequence[str], step_at: int) -> Iterator[tuple[float, str, float]]:
    step = _number(row[step_at]) if step_at < len(row) else None
    if step is None or not math.isfinite(step):
        return
    for place, (cell, name) in enumerate(zip(row, names, strict=False)):
        value = _number(cell)
        if place != step_at and name and value is not None:
            yield step, name, value


def _number(value: Any) -> float | None:
    """Return a number, finite or not, and None for all else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
