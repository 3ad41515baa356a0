"""A score and its receipt: the number, how far to trust it, and everything that decides what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

Direction = Literal["lower", "higher"]
"""Which way is better."""


class Measure(NamedTuple):
    """What a metric's function returns: the value, its standard error where there is one, and what to know about it."""

    value: float
    spread: float | None = None
    spread_method: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """One metric's value with the protocol it was measured under.

    `spread` is a standard error, found as `spread_method` says; None where there is none.
    `extractor`, its hash and accuracy, `resize` and `range` tell how images became features (None for points, but for
    `range`). `real` and `generated` count examples; `data` and `split` say which. `seconds` includes the features.
    `metric_version` counts the definitions that the metric has had; `data_fingerprint` is the SHA-256 of the real data
    and `view` how its images were seen; `time` is when the score was taken (ISO 8601, UTC). `held_out` counts the
    examples of a control that was not trained on, with the SHA-256 of its content, where one was used. These are None
    where they are not known, as in what earlier versions wrote.
    """

    metric: str
    value: float
    spread: float | None
    spread_method: str | None
    direction: Direction
    extractor: str | None
    extractor_hash: str | None
    extractor_accuracy: float | None
    resize: str | None
    range: str | None
    real: int
    generated: int
    data: str
    split: str
    seed: int
    kallima: str
    seconds: float
    notes: tuple[str, ...] = ()
    metric_version: int | None = None
    data_fingerprint: str | None = None
    view: str | None = None
    time: str | None = None
    held_out: int | None = None
    held_out_fingerprint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object from which `Score.from_json` builds an equal score."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Score":
        """Build a score from what `to_json` gave."""
        return cls(**{**data, "notes": tuple(data["notes"])})


def now() -> str:
    """Return the time as a receipt says it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def table(scores: Sequence[Score]) -> str:
    """Lay scores out as aligned plain text, one a line, and below them what the errors are, the receipt, the notes."""
    if not scores:
        return "no scores"
    rows = [("metric", "value", "± error", "better", "features", "real", "generated")]
    rows += [
        (
            score.metric,
            _digits(score.value, score.spread),
            "" if score.spread is None else f"{score.spread:.1g}",
            score.direction,
            _extractor(score),
            f"{score.real:,}",
            f"{score.generated:,}",
        )
        for score in scores
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = {1, 2, 5, 6}
    lines = [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines += sorted({f"data: {score.data}, split {score.split}, seed {score.seed}" for score in scores})
    lines += _told("", {score.metric: _data(score) for score in scores})
    lines += _told("features: ", {score.metric: _protocol(score) for score in scores})
    methods = {score.metric: score.spread_method for score in scores if score.spread is not None}
    lines += _told("± error: ", methods, name_all=True)
    for note in dict.fromkeys(note for score in scores for note in score.notes):
        about = [score for score in scores if note in score.notes]
        # what is said of all scores, or of all by one extractor, needs no names
        alike = [score for score in scores if score.extractor == about[0].extractor]
        plain = about == scores or (about == alike and len(about) > 1)
        lines.append(f"- {note}" if plain else f"- {', '.join(score.metric for score in about)}: {note}")
    return "\n".join(lines)


def _data(score: Score) -> str | None:
    """Say which data it was exactly, and how its images were seen."""
    if score.data_fingerprint is None:
        return None
    control = "" if score.held_out_fingerprint is None else f", held-out {score.held_out_fingerprint[:12]}"
    return f"data {score.data_fingerprint[:12]}{control}" + ("" if score.view is None else f", seen {score.view}")


def _protocol(score: Score) -> str | None:
    """Say how images became features."""
    if score.extractor is None:
        return None
    return f"{score.extractor} {str(score.extractor_hash)[:12]}, resize {score.resize}, range {score.range}"


def _told(what: str, by_metric: Mapping[str, str | None], *, name_all: bool = False) -> list[str]:
    """Say each thing once, with the metrics that it is about where there are several such things."""
    about: dict[str, list[str]] = {}
    for metric, text in by_metric.items():
        if text is not None:
            about.setdefault(text, []).append(metric)
    named = name_all or len(about) > 1
    return [f"{what}{text}" + (f" ({', '.join(metrics)})" if named else "") for text, metrics in about.items()]


def _digits(value: float, spread: float | None) -> str:
    """Write a value with one digit more than its error bears, or with four."""
    if spread is None or spread <= 0:
        return f"{value:.4g}"
    places = min(max(1 - int(f"{spread:e}".partition("e")[2]), 0), 8)
    return f"{value:.{places}f}"


def _extractor(score: Score) -> str:
    if score.extractor is None:
        return "-"
    if score.extractor_accuracy is None:
        return score.extractor
    return f"{score.extractor} ({score.extractor_accuracy:.1%} right)"
