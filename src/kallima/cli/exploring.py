"""`kallima explore`: pictures of a run's latent space."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from kallima.arguments import REQUIRED, Parameter, from_signature, split_docstring
from kallima.cli.output import emit, emit_json, messages, table, tell
from kallima.cli.parsing import JSON, Command
from kallima.errors import UsageError
from kallima.exploring import EXPLORATIONS, explore, find

_EXPLANATION = (
    "Explore a run's latent space and draw a picture of it. Each exploration has options of its own; "
    "kallima explore RUN WHAT --help tells them."
)
_RUN = Parameter("run", str, REQUIRED, "the run directory.", positional=True)
_WHAT = Parameter("what", str, REQUIRED, "what to do.", positional=True)
_OUT = Parameter("out", str | None, None, "Where to write the picture; by default RUN/explored/WHAT.png.")


def _command(words: Sequence[str]) -> Command:
    """Make the command that explores a run as the second of the words says.

    Raises:
        UsageError: they don't begin with a run and what to do.
    """
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        if any(word in ("-h", "--help") for word in words):
            rows = [(name, split_docstring(function.__doc__ or "")[0]) for name, function in EXPLORATIONS.items()]
            text = f"{_EXPLANATION}\n\n{table(rows)}"
            return Command("explore", text, {"options": [_RUN, _WHAT]}, lambda **given: 0)
        names = ", ".join(EXPLORATIONS)
        raise UsageError(
            f"name the run and then what to do: kallima explore RUN {names.split(',')[0]}; there is {names}"
        )
    function = find(words[1])
    own = [p for p in from_signature(function) if p.name != "run"]
    return Command(
        "explore",
        split_docstring(function.__doc__ or "")[0],
        {"options": [_RUN, replace(_WHAT, hint=Literal[tuple(EXPLORATIONS)]), *own], "the result": [_OUT, JSON]},
        _explore,
    )


def _explore(*, run: str, what: str, out: str | None = None, json: bool = False, **given: Any) -> int:
    picture = Path(run) / "explored" / f"{what}.png" if out is None else Path(out)
    with messages():
        found = explore(run, what, out=picture, **given)
    if json:
        emit_json({"picture": str(picture), "scores": found.scores, "notes": found.notes})
        return 0
    emit(str(picture))
    for name, score in found.scores.items():
        emit(f"{name}: {score:.4g}")
    for note in found.notes:
        tell(note)
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {"explore": _command}
