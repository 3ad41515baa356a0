"""Fingerprints of files, and answers about files that are remembered until one of the files changes."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kallima.data.cache import cache_directory
from kallima.data.spec import Field

Stamp = tuple[str, int, int, int]
"""A file's name, size, and times of modification and change in nanoseconds: while equal, so is the content."""

_VERSION = 2  # raise it when an answer would come out differently
_SETTLED = 2.0  # seconds: a file younger than that may change again within one tick of its clock


def stamp(name: str, status: os.stat_result) -> Stamp:
    """Return the stamp of a file with this status."""
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def remember(question: str, stamps: Sequence[Stamp], answer: Callable[[], Any]) -> Any:
    """Return `answer()`, a JSON value, from the cache directory where it was asked before and no stamp has changed."""
    key = hashlib.sha256(json.dumps([_VERSION, question]).encode())
    for entry in stamps:
        key.update(json.dumps(entry).encode())
    path = cache_directory() / "known" / f"{key.hexdigest()[:32]}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["answer"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # never asked, or damaged: it is found out again
    found = answer()
    youngest = max((max(entry[2], entry[3]) for entry in stamps), default=0) / 1e9
    if time.time() - youngest > _SETTLED:
        _write(path, json.dumps({"question": question, "answer": found}))
    return found


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError:  # a full or read-only cache costs time, never the job
        with suppress(OSError):
            aside.unlink()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_fingerprint(fields: Mapping[str, Field], entries: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    """Return the SHA-256 over (name, digest of the bytes, label and other values) of every example in order."""
    whole = hashlib.sha256(json.dumps({name: field.to_json() for name, field in fields.items()}).encode())
    for entry in entries:
        whole.update(json.dumps(entry).encode())
    return whole.hexdigest()
