"""Errors that name the mistake and the remedy, each in one line."""

import difflib
import importlib
from collections.abc import Iterable
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
