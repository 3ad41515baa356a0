"""What the commands print: results on standard output, the rest on standard error; workers of torchrun are silent."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

Row = Sequence[str]


def is_first() -> bool:
    """Say whether this process speaks for the others: every one does that torchrun has not started."""
    return os.environ.get("RANK", "0") == "0"


def emit(text: str) -> None:
    """Print a result."""
    if is_first():
        print(text, flush=True)


def emit_json(value: Any) -> None:
    """Print a result as one line of JSON."""
    emit(json.dumps(value))


def tell(text: str) -> None:
    """Print a message."""
    if is_first():
        print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Row], indent: str = "  ") -> str:
    """Align the columns of rows; the last one is as wide as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    return "\n".join(lines)
