"""Files written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from kallima.errors import RunError


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, sync, rename: a reader, or a crash, finds the old content or the new, never a part.

    Raises:
        RunError: the folder cannot be written to, or the disk is full.
    """
    aside = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):  # where a part of the path is a file there is nothing to remove
            aside.unlink()
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
