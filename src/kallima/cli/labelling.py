"""`kallima label`: what is in new images, by a run that tells labels or classes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kallima.cli.output import emit, emit_json, tell
from kallima.cli.parsing import JSON, Command, command
from kallima.labelling import label


def _label(*, json: bool = False, **given: Any) -> int:
    """Print a line a file; the exit code is 1 if some could not be read."""
    found = label(**given)
    if json:
        emit_json({name: found.told(index) for index, name in enumerate(found.names)})
    else:
        for index, name in enumerate(found.names):
            told = ", ".join(f"{each} {probability:.2f}" for each, probability in found.told(index).items())
            emit(f"{name}: {told or '-'}")
    for problem in found.broken:
        tell(f"{problem.path} {problem.problem}")
    return 1 if found.broken else 0


def _command(words: Sequence[str]) -> Command:
    made = command("label", label, _label, JSON)
    own = [replace(p, hint=str, positional=True) if p.name in ("run", "given") else p for p in made.parameters]
    own = [replace(p, hint=str | None) if p.name == "out" else p for p in own]
    return replace(made, groups={"options": own})


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {"label": _command}
