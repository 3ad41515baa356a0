"""A score and its receipt: the number, how far to trust it, and everything that decides what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object from which `Score.from_json` builds an equal score."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Score":
        """Build a score from what `to_json` gave."""
        return cls(**{**data, "notes": tuple(data["notes"])})


def table(scores: Sequence[Score]) -> str:
    """Lay scores out as aligned plain text, one a line, with what they share and their notes below."""
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
    for note in dict.fromkeys(note for score in scores for note in score.notes):
        about = [score.metric for score in scores if note in score.notes]
        lines.append(f"- {note}" if len(about) == len(scores) else f"- {', '.join(about)}: {note}")
    return "\n".join(lines)


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
