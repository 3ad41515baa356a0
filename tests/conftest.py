"""What several test files share: a cache of the suite's own, and the command as a real process."""

import os

# before torch is imported: one thread gives the same sums wherever the suite runs, and none that wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# what a slow machine says of its own speed is no fault of the code
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("suite")

Command = Callable[..., subprocess.CompletedProcess[str]]

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("KALLIMA_CACHE")
    place = str(tmp_path_factory.mktemp("cache"))
    os.environ["KALLIMA_CACHE"] = ENVIRONMENT["KALLIMA_CACHE"] = place
    yield
    if before is None:
        del os.environ["KALLIMA_CACHE"]
    else:
        os.environ["KALLIMA_CACHE"] = before


@pytest.fixture(scope="session")
def command() -> Command:
    """Run `kallima …` in a process of its own, with its output captured."""

    def run(*words: object, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kallima", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            cwd=cwd,
            env={**ENVIRONMENT, **extra},
        )

    return run
