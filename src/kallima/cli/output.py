"""What the commands print: results on standard output, the rest on standard error; workers of torchrun are silent."""

import itertools
import json
import logging
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

NARROWEST = 20  # characters: the least to wrap a column to


def is_first() -> bool:
    """Say whether this process speaks for the others: every one does that torchrun has not started."""
    return os.environ.get("RANK", "0") == "0"


def emit(text: str) -> None:
    """Print a result."""
    if is_first():
        print(text, flush=True)


def emit_json(value: Any) -> None:
    """Print a result as one line of JSON, with null for numbers that are not finite."""
    emit(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tell(text: str) -> None:
    """Print a message."""
    if is_first():
        print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Align the columns of rows; on a terminal the last one is wrapped to its width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    margin = len(indent) + sum(width + 2 for width in widths[:-1])
    room = shutil.get_terminal_size().columns - margin if sys.stdout.isatty() else widths[-1]
    lines = []
    for *cells, last in rows:
        start = indent + "".join(cell.ljust(width + 2) for cell, width in zip(cells, widths, strict=False))
        lines += [
            (head + part).rstrip()
            for head, part in zip(
                itertools.chain([start], itertools.repeat(" " * margin)),
                textwrap.wrap(last, max(room, NARROWEST)) or [""],
                strict=False,
            )
        ]
    return "\n".join(lines)


@contextmanager
def messages() -> Iterator[None]:
    """Show what the evaluation logs (a probe in training, a metric left out) as messages, above any bar."""
    from tqdm import tqdm

    class Messages(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if is_first():
                tqdm.write(self.format(record), file=sys.stderr)

    logger, handler = logging.getLogger("kallima.evaluation"), Messages()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
