"""What to type to train a run again, to go on with it and to use it."""

import shlex
from dataclasses import MISSING, fields
from typing import Any

from kallima.options import DataOptions, TrainingOptions
from kallima.reporting.runs import Run


def commands(run: Run) -> list[tuple[str, str]]:
    """Return (what for, command line) pairs; what the defaults say already is left out."""
    words = ["kallima", "train", run.word("recipe"), "--data", run.data]
    for name, value in (_options(run) | run.part("arguments")).items():
        words += _option(name, value)
    directory = shlex.quote(str(run.path))
    listed = [("Train it again", shlex.join(words))]
    if run.word("status") != "finished":
        listed.append(("Go on from the last checkpoint", f"kallima resume {directory}"))
    return [
        *listed,
        ("Draw from it", f"kallima sample {directory} -n 64 --seed 0 --out grid.png"),
        ("Judge it", f"kallima evaluate {directory}"),
    ]


def call(run: Run) -> str:
    """Return the same training in Python, where every value can be said."""
    settings = {"data": run.data} | _options(run) | run.part("arguments")
    lines = "".join(f"    {name}={value!r},\n" for name, value in settings.items())
    return f"kallima.train(\n    {run.word('recipe')!r},\n{lines})"


def _options(run: Run) -> dict[str, Any]:
    """Return the run's options that differ from their defaults."""
    told = run.part("source") | run.part("training")
    known = [option for option in (*fields(DataOptions), *fields(TrainingOptions)) if option.default is not MISSING]
    return {
        option.name: told[option.name] for option in known if told.get(option.name, option.default) != option.default
    }


def _option(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return [f"--{option}={text}"] if text.startswith("-") else [f"--{option}", text]
