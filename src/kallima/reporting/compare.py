"""Runs against one another. A winner is named only where all were measured in the same way."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kallima.errors import UsageError
from kallima.files import write_whole
from kallima.reporting import curves
from kallima.reporting.page import inline_pictures, render
from kallima.reporting.report import typical_rate
from kallima.reporting.runs import Run, read_run

MUST_AGREE = ("direction", "extractor_hash", "resize", "range", "real", "generated", "data", "split")
"""The fields of two scores that have to be equal before one may be called better."""

LEFT_OUT = ("fingerprint", "name")  # of the source: told in the table


def comparison_table(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one JSON object a run, in the order given.

    Keys: run, label, recipe, data, fingerprint, status, step, seconds, images_per_second, settings, scores. To each
    score are added `best` (it leads, and all runs with that metric agree in `MUST_AGREE`), `within_spread` (it leads
    by no more than the spreads) and `differs` (the fields in which the runs do not agree). Numbers that are not finite
    are None.

    Raises:
        UsageError: fewer than two runs.
        RunError: one of them is no run.
    """
    return _table(_read(runs))


def write_comparison(runs: Sequence[Path], out: Path) -> Path:
    """Write a page with the runs' scores, last grids, curves and differing settings to `out`, and return it.

    Raises:
        UsageError: fewer than two runs.
        RunError: one of them is no run, or the page cannot be written.
    """
    records = _read(runs)
    rows = _table(records)
    pictures = [inline_pictures(dict(list(record.pictures.items())[-1:])).latest for record in records]
    charts, alone = _charts(records, [row["label"] for row in rows])
    differing, same = _settings(rows)
    content = render(
        "compare.html.j2",
        title=f"{len(rows)} runs compared",
        rows=rows,
        metrics=_metrics(rows),
        pictures=pictures,
        charts=charts,
        alone=alone,
        differing=differing,
        same=same,
    )
    write_whole(out, content)
    return out


def _read(runs: Sequence[Path]) -> list[Run]:
    if len(runs) < 2:
        raise UsageError("a comparison needs at least two runs")
    return [read_run(Path(run)) for run in runs]


def _table(records: Sequence[Run]) -> list[dict[str, Any]]:
    rows = []
    for record, label in zip(records, _labels(records), strict=True):
        settings = {
            f"{part}: {name}": value for part in ("arguments", "training") for name, value in record.part(part).items()
        }
        settings |= {f"data: {name}": value for name, value in record.part("source").items() if name not in LEFT_OUT}
        rows.append(
            {
                "run": str(record.path),
                "label": label,
                "recipe": record.word("recipe"),
                "data": record.data,
                "fingerprint": record.part("source").get("fingerprint"),
                "status": record.word("status"),
                "step": record.step,
                "seconds": round(record.seconds, 3),
                "images_per_second": typical_rate(record),
                "settings": settings,
                "scores": [_finite(score) for score in record.scores],
            }
        )
    for metric in _metrics(rows):
        _judge(metric["scores"])
    return rows


def _labels(records: Sequence[Run]) -> list[str]:
    """Return the directories' names, numbered where two are the same."""
    names = [record.path.resolve().name for record in records]
    return [name if names.count(name) == 1 else f"{name} ({index + 1})" for index, name in enumerate(names)]


def _finite(score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in score.items()
    }


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for every metric of an extractor, its score in each run or None: {"name", "extractor", "scores"}."""
    keys = dict.fromkeys((score["metric"], score.get("extractor")) for row in rows for score in row["scores"])
    return [
        {
            "name": name,
            "extractor": extractor,
            "scores": [
                next((s for s in row["scores"] if (s["metric"], s.get("extractor")) == (name, extractor)), None)
                for row in rows
            ],
        }
        for name, extractor in keys
    ]


def _judge(scores: Sequence[dict[str, Any] | None]) -> None:
    """Mark the best of one metric's scores, or say what keeps them from being compared."""
    present = [score for score in scores if score is not None]
    differs = [name for name in MUST_AGREE if any(score.get(name) != present[0].get(name) for score in present)]
    for score in present:
        score |= {"best": False, "within_spread": False, "differs": differs}
    ranked = [score for score in present if isinstance(score.get("value"), int | float)]
    direction = present[0].get("direction")
    if differs or len(ranked) < 2 or direction not in ("lower", "higher"):
        return
    ranked.sort(key=lambda score: score["value"], reverse=direction == "higher")
    best, second = ranked[:2]
    margin = abs(best["value"] - second["value"])
    best["best"] = margin > 0
    best["within_spread"] = 0 < margin <= math.hypot(best.get("spread") or 0.0, second.get("spread") or 0.0)


def _charts(records: Sequence[Run], labels: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a chart for each series of two or more runs, a colour a run, and the names of the other series."""
    names = dict.fromkeys(name for record in records for name in record.series)
    charts, alone = [], []
    for name in names:
        lines = [
            curves.line(label, record.series[name], colour)
            for colour, (record, label) in enumerate(zip(records, labels, strict=True))
            if name in record.series
        ]
        if len(lines) > 1:
            charts.append({"title": name, "lines": lines})
        else:
            alone.append(name)
    rates = [
        curves.line(label, record.throughput, colour)
        for colour, (record, label) in enumerate(zip(records, labels, strict=True))
        if len(record.throughput.steps)
    ]
    if len(rates) > 1:
        charts.append({"title": "throughput, images/s", "lines": rates})
    return charts, alone


def _settings(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the settings that differ, with each run's value and whether it has one, and those that are the same."""
    names = dict.fromkeys(name for row in rows for name in row["settings"])
    differing, same = [], {}
    for name in names:
        told = [name in row["settings"] for row in rows]
        values = [row["settings"].get(name) for row in rows]
        if all(told) and all(value == values[0] for value in values):
            same[name] = values[0]
        else:
            differing.append({"name": name, "values": values, "told": told})
    return differing, same
