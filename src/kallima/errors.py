"""Errors that name the mistake and the remedy, each in one line."""

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


class KallimaError(Exception):
    """Something went wrong that the user can mend; the message is one line. The command exits with 1."""

    exit_code = 1


class UsageError(KallimaError):
    """The request itself is off: an unknown name, an option out of range. The command exits with 2."""

    exit_code = 2


class DataError(KallimaError):
    """The data cannot be used as it is."""


class RunError(KallimaError):
    """A run directory is missing, damaged, in use, or not the one it is taken for."""


class TrainingError(KallimaError):
    """Training cannot go on: a loss or gradient is not finite, the disk is full."""


class Interrupted(KeyboardInterrupt):
    """A signal ended a training early, after its step and a checkpoint; a script that does not catch it ends too.

    Attributes:
        run: the run directory.
        step: how far it has come.
        number: the signal's.
    """

    def __init__(self, run: Path, step: int, number: int):
        super().__init__(run, step, number)  # what a pickle of it builds it from
        self.run, self.step, self.number = run, step, number

    def __str__(self) -> str:
        return f"stopped at step {self.step}; go on with: kallima resume {self.run}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the choice nearest to `word`, or nothing where none is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional dependency; where it is absent, say in one line what to install.

    Raises:
        UsageError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"this needs {module}: pip install 'kallima[{extra}]'") from error
