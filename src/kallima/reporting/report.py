"""The report of one run: a page that can be mailed, opened anywhere, and believed."""

from pathlib import Path
from typing import Any

from kallima.files import write_whole
from kallima.reporting import curves
from kallima.reporting.commands import call, commands
from kallima.reporting.findings import read_findings, with_charts, worth_drawing
from kallima.reporting.neighbours import NAME
from kallima.reporting.page import PICTURE_BYTES, inline_pictures, read_sounds, read_writings, render
from kallima.reporting.runs import Run, read_run

PROTOCOL = (
    "extractor",
    "extractor_hash",
    "extractor_accuracy",
    "resize",
    "range",
    "real",
    "generated",
    "held_out",
    "data",
    "data_fingerprint",
    "held_out_fingerprint",
    "view",
    "split",
    "seed",
    "kallima",
)
"""The fields of a score that say how it was measured."""


def write_report(run: Path) -> Path:
    """Write `report.html` into the run directory and return its path.

    It reads the directory's files alone, and copes with any that are absent, unfinished or damaged in part.

    Raises:
        RunError: the directory is no run, its run.json is damaged, or the page cannot be written.
    """
    record = read_run(run)
    page = run / "report.html"
    near = inline_pictures({} if record.neighbours is None else {record.step: record.neighbours})
    sounds = read_sounds(record.sounds)
    budget = PICTURE_BYTES - sum(len(picture.address) for picture in near.shown) - sum(each.size for each in sounds)
    unreadable = [*record.unreadable, *([f"{NAME}, which is damaged"] if near.damaged else [])]
    findings = read_findings(run / "diagnosis.json", unreadable)
    found = None if findings is None else with_charts(findings, record.series)
    drawn = _charts(record)
    content = render(
        "report.html.j2",
        run=record,
        title=f"{record.word('recipe', 'unknown recipe')} on {record.data}",
        pictures=inline_pictures(record.pictures, budget),
        writings=read_writings(record.texts),
        sounds=sounds,
        near=near.latest,
        unreadable=unreadable,
        findings=found,
        drawn=drawn,
        charts=[finding["chart"] for finding in found or () if finding["chart"]] + drawn,  # as they come on the page
        rate=typical_rate(record),
        gaps=curves.first_gaps(record.series),
        receipts=receipts(record.scores),
        commands=commands(record),
        call=call(record),
    )
    write_whole(page, content)
    return page


def typical_rate(run: Run) -> float | None:
    """Return the median throughput in examples/s, None where none was measured."""
    rates = sorted(run.throughput.values[run.throughput.values > 0])  # NaN is not above 0
    return float(rates[len(rates) // 2]) if rates else None


def _charts(run: Run) -> list[dict[str, Any]]:
    charts = curves.charts(worth_drawing(run.series))
    if len(run.throughput.steps):
        charts.append({"title": "throughput", "lines": [curves.line("examples/s", run.throughput, 0)]})
    return charts


def receipts(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Group scores that were measured in the same way.

    Each group is {"protocol": {field: value}, "scores": [...], "notes": [...]}: notes that all its scores share stand
    with the protocol, with what the spreads are; each score keeps its own under "notes".
    """
    groups: list[dict[str, Any]] = []
    for score in scores:
        protocol = {name: score[name] for name in PROTOCOL if score.get(name) is not None}
        group = next((group for group in groups if group["protocol"] == protocol), None)
        if group is None:
            group = {"protocol": protocol, "scores": []}
            groups.append(group)
        group["scores"].append(score)
    for group in groups:
        told = [_notes(score) for score in group["scores"]]
        shared = [note for note in told[0] if len(told) > 1 and all(note in notes for notes in told)]
        group["notes"] = _spreads(group["scores"]) + shared
        group["scores"] = [
            score | {"notes": [note for note in notes if note not in shared]}
            for score, notes in zip(group["scores"], told, strict=True)
        ]
    return groups


def _notes(score: dict[str, Any]) -> list[str]:
    notes = score.get("notes") or []
    return [str(note) for note in notes] if isinstance(notes, list) else [str(notes)]


def _spreads(scores: list[dict[str, Any]]) -> list[str]:
    """Say once for each way of finding a spread which metrics have it."""
    methods: dict[str, list[str]] = {}
    for score in scores:
        if score.get("spread") is not None and score.get("spread_method"):
            methods.setdefault(str(score["spread_method"]), []).append(score["metric"])
    return [f"± of {', '.join(metrics)}: {method}" for method, metrics in methods.items()]
