"""The run directory: everything a training produced. Plain files, no torch."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kallima.errors import RunError
from kallima.files import write_whole

try:
    import fcntl
except ImportError:  # no advisory locks on this platform
    fcntl = None  # type: ignore[assignment]

FORMAT = 1


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run(os.PathLike[str]):
    """A run on disk; it can be used wherever a path can.

    Raises:
        RunError: there is no run at `path`, or it cannot be read.
    """

    def __init__(self, path: "str | os.PathLike[str]"):
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RunError(f"{self.path} is no run: it has no run.json")
        manifest = self.manifest
        if manifest.get("format") != FORMAT:
            raise RunError(f"{self.path} has run format {manifest.get('format')}, this kallima reads format {FORMAT}")

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> "Run":
        """Make the directory of a new run.

        Raises:
            RunError: there is a run already, or a folder with something else in it.
        """
        if (path / "run.json").exists():
            raise RunError(f"{path} already holds a run: go on with 'kallima resume {path}', or choose another --out")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists and is not an empty folder: choose another --out")
        try:
            for part in ("checkpoints", "samples"):
                (path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write to {path}: {error.strerror}") from error
        stamp = now()
        content = {"format": FORMAT, **manifest, "status": "running", "step": 0, "message": None}
        content |= {"created": stamp, "updated": stamp}
        write_whole(path / "run.json", json.dumps(content, indent=2).encode())
        return cls(path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of run.json."""
        try:
            return json.loads((self.path / "run.json").read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path / 'run.json'} is damaged ({error})") from error

    @property
    def status(self) -> str:
        """running, finished, interrupted, stopped (by the doctor) or failed; a killed run still says running."""
        return self.manifest["status"]

    @property
    def step(self) -> int:
        """The step that was last recorded."""
        return self.manifest["step"]

    def update(self, **changes: Any) -> None:
        """Change entries of run.json."""
        content = self.manifest | changes | {"updated": now()}
        write_whole(self.path / "run.json", json.dumps(content, indent=2).encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing.

        Raises:
            RunError: another process trains it.
        """
        with (self.path / ".lock").open("w") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise RunError(f"{self.path} is being trained by another process") from error
            yield

    def scores(self) -> list[dict[str, Any]]:
        """Return the scores that `evaluate` kept, as JSON objects; none where it has not run."""
        path = self.path / "scores.json"
        return json.loads(path.read_text())["scores"] if path.is_file() else []
