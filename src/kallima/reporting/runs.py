"""Reading a run directory as it lies: in the middle of training, cut off, damaged in part."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kallima.errors import RunError
from kallima.reporting.neighbours import NAME

FORMAT = 1
LARGEST_CARD = 200_000  # characters


@dataclass(frozen=True)
class Series:
    """One scalar over the steps: steps int64 (N,) ascending, values float64 (N,), NaN where not finite."""

    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Run:
    """What a run directory says. Parts that are not there yet are empty; run.json's parts are as they were written."""

    path: Path
    facts: Mapping[str, Any]
    series: Mapping[str, Series]  # by name, in the order in which the names first appear
    throughput: Series  # examples/s
    seconds: float  # over all sittings
    pictures: Mapping[int, Path]  # sample grids by step, ascending
    texts: Mapping[int, Path]  # sample texts by step, ascending
    sounds: Mapping[int, Path]  # sample sounds by step, ascending
    neighbours: Path | None  # the picture of the most suspect samples, where the scores judge memorisation
    scores: list[dict[str, Any]]
    scored_at: int | None  # the step of the scores
    card: str  # markdown
    unreadable: tuple[str, ...]  # what was skipped, in plain words

    def part(self, name: str) -> dict[str, Any]:
        """Return an object of run.json ("arguments", "training", "source", …), empty where there is none."""
        value = self.facts.get(name)
        return value if isinstance(value, dict) else {}

    def word(self, name: str, default: str = "") -> str:
        """Return a plain value of run.json as text."""
        value = self.facts.get(name)
        return default if value is None else str(value)

    @property
    def data(self) -> str:
        """The name of the source."""
        return str(self.part("source").get("name", "unknown data"))

    @property
    def step(self) -> int:
        """How many steps were taken."""
        step = self.facts.get("step")
        return step if isinstance(step, int) else 0


def read_run(path: Path) -> Run:
    """Read the directory; only run.json has to be there.

    Raises:
        RunError: it is no run directory, or run.json is damaged or written by a later version.
    """
    facts = _facts(path)
    unreadable: list[str] = []
    series = _series(path / "events.jsonl", unreadable)
    throughput, seconds = _timing(path / "timing.jsonl", unreadable)
    scores, scored_at = _scores(path / "scores.json", unreadable)
    pictures, texts, sounds = (
        {int(file.stem): file for file in (path / "samples").glob(f"*.{kind}") if file.stem.isdecimal()}
        for kind in ("png", "txt", "wav")
    )
    return Run(
        path=path,
        facts=facts,
        series=series,
        throughput=throughput,
        seconds=seconds,
        pictures=dict(sorted(pictures.items())),
        texts=dict(sorted(texts.items())),
        sounds=dict(sorted(sounds.items())),
        neighbours=path / NAME
        if (path / NAME).is_file() and any(s["metric"] == "memorisation" for s in scores)
        else None,
        scores=scores,
        scored_at=scored_at,
        card=_card(path / "model"),
        unreadable=tuple(unreadable),
    )


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / "run.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{path} is not a run: it has no run.json") from None
    except OSError as error:
        raise RunError(f"cannot read {path / 'run.json'}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path / 'run.json'} is damaged: it is not valid JSON") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path / 'run.json'} is damaged: it is not a JSON object")
    if facts.get("format") != FORMAT:
        raise RunError(
            f"{path} has format {facts.get('format')!r}, this version reads {FORMAT}: "
            "use the version of kallima that wrote it"
        )
    return facts


def _lines(path: Path, unreadable: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; a last line still being written is passed over."""
    if not path.is_file():
        return
    damaged = 0
    with path.open("rb") as file:
        for line in file:
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                item = None
            if isinstance(item, dict):
                yield item
            elif line.endswith(b"\n") and line.strip():
                damaged += 1
    if damaged:
        unreadable.append(f"{damaged:,} damaged line{'s' if damaged > 1 else ''} of {path.name}")


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**53


def _number(value: Any) -> float:
    """Return the value as a float, NaN where it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _as_series(values: Mapping[int, float]) -> Series:
    steps = sorted(values)
    return Series(np.array(steps, dtype=np.int64), np.array([values[step] for step in steps], dtype=np.float64))


def _series(path: Path, unreadable: list[str]) -> dict[str, Series]:
    values: dict[str, dict[int, float]] = {}
    for event in _lines(path, unreadable):
        if _is_step(event.get("step")) and isinstance(event.get("name"), str):
            # a step told twice (a sitting that was cut off, then resumed) counts as it was told last
            values.setdefault(event["name"], {})[event["step"]] = _number(event.get("value"))
    return {name: _as_series(told) for name, told in values.items()}


def _timing(path: Path, unreadable: list[str]) -> tuple[Series, float]:
    rates: dict[int, float] = {}
    total = latest = 0.0
    for entry in _lines(path, unreadable):
        seconds = _number(entry.get("seconds"))
        if not _is_step(entry.get("step")) or math.isnan(seconds):
            continue
        if seconds < latest:  # the clock starts anew with each sitting
            total += latest
        latest = seconds
        rates[entry["step"]] = _number(entry.get("images_per_second"))
    return _as_series(rates), total + latest


def _scores(path: Path, unreadable: list[str]) -> tuple[list[dict[str, Any]], int | None]:
    if not path.is_file():
        return [], None
    try:
        content = json.loads(path.read_text("utf-8"))
        scores = [score for score in content["scores"] if isinstance(score["metric"], str)]
    except (ValueError, RecursionError, KeyError, TypeError):
        unreadable.append("scores.json, which is damaged")
        return [], None
    return scores, content.get("step") if _is_step(content.get("step")) else None


def _card(model: Path) -> str:
    if (model / "README.md").is_file():
        return (model / "README.md").read_text("utf-8", errors="replace")[:LARGEST_CARD]
    try:
        card = json.loads((model / "config.json").read_text("utf-8"))["card"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return ""
    return card[:LARGEST_CARD] if isinstance(card, str) else ""
