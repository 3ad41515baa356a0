"""What the doctor found, as diagnosis.json has it: for the page, with a small plot of each finding's evidence."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kallima.reporting.curves import line
from kallima.reporting.runs import Series

NAME = "diagnosis.json"
IN_WORDS = "in words"  # the entry of the evidence that is a sentence
SHOWN_OF_SAMPLES = ("diversity", "energy", "forgotten", "stray")
"""The vital signs that a page always draws: they share a scale, from 0 to 1."""


def read_findings(path: Path, unreadable: list[str]) -> list[dict[str, Any]] | None:
    """Return the findings of a diagnosis.json; None where there is none, or none that can be read."""
    if not path.is_file():
        return None
    try:
        findings = json.loads(path.read_text("utf-8"))["findings"]
        return [_checked(finding) for finding in findings]
    except (ValueError, RecursionError, KeyError, TypeError):
        unreadable.append(f"{NAME}, which is damaged")
        return None


def _checked(finding: Mapping[str, Any]) -> dict[str, Any]:
    evidence = dict(finding["evidence"])
    return {
        "symptom": str(finding["symptom"]),
        "since": int(finding["since"]),
        "confidence": float(finding["confidence"]),
        "words": str(evidence.pop(IN_WORDS, "")),
        "evidence": evidence,
        "remedies": [(str(remedy["flags"]), str(remedy["advice"])) for remedy in finding["remedies"]],
    }


def with_charts(findings: list[dict[str, Any]], series: Mapping[str, Series]) -> list[dict[str, Any]]:
    """Give each finding a chart of the series that its evidence names, None where it names none."""
    drawn = []
    for finding in findings:
        names = [name for name in finding["evidence"] if name in series]
        lines = [line(name, series[name], colour) for colour, name in enumerate(names)]
        title = ", ".join(name.replace("/", ": ") for name in names)
        drawn.append(finding | {"chart": {"title": title, "lines": lines} if lines else None})
    return drawn


def worth_drawing(series: Mapping[str, Series]) -> dict[str, Series]:
    """Leave out the vital signs that only a finding makes worth a look."""
    shown = {f"samples/{name}" for name in SHOWN_OF_SAMPLES}
    return {
        name: values for name, values in series.items() if name in shown or not name.startswith(("samples/", "doctor/"))
    }
