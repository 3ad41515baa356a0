"""A finding: what is wrong, since when, how sure that is, on what evidence, and what usually helps."""

from dataclasses import dataclass
from typing import Any, NamedTuple

IN_WORDS = "in words"
"""The entry of the evidence that says it in plain words; entries named like a series have its decisive value."""


class Remedy(NamedTuple):
    """What usually helps, and the flags of `kallima train` that do it."""

    advice: str
    flags: str


@dataclass(frozen=True)
class Finding:
    """One symptom of a training.

    `since` is the step at which it began, `confidence` lies in (0, 1]. `evidence` has the numbers, under the name of
    their series where they have one, and under `IN_WORDS` what they say. The first of the `remedies` is to be tried
    first.
    """

    symptom: str
    since: int
    confidence: float
    evidence: dict[str, Any]
    remedies: tuple[Remedy, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "symptom": self.symptom,
            "since": self.since,
            "confidence": round(self.confidence, 3),
            "evidence": {name: _rounded(value) for name, value in self.evidence.items()},
            "remedies": [remedy._asdict() for remedy in self.remedies],
        }

    def __str__(self) -> str:
        """One plain sentence."""
        sure = f"{self.symptom} since step {self.since:,} ({self.confidence:.0%} sure)".replace("%", " %")
        tried = f"; try {self.remedies[0].flags}" if self.remedies else ""
        return f"{sure}: {self.evidence[IN_WORDS]}{tried}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
