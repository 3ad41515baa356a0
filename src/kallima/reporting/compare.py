"""Runs against one another. They are ranked only by scores that were measured in the same way, and told apart only
where their errors allow it.

Two scores are tied where 0 lies in the 95 % interval of their difference, |a − b| ≤ 1.96 √(sₐ² + s_b²), or where they
are equal. A run's rank is one more than the number of runs that are better than it and not tied with it, so tied runs
may share a rank.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kallima.errors import UsageError
from kallima.files import write_whole
from kallima.reporting import curves
from kallima.reporting.page import inline_pictures, read_writings, render
from kallima.reporting.report import typical_rate
from kallima.reporting.runs import Run, read_run
from kallima.reporting.wording import measured, setting

MUST_AGREE = (
    *("metric_version", "direction", "extractor_hash", "resize", "range"),
    *("real", "generated", "held_out", "data_fingerprint", "held_out_fingerprint", "view", "split"),
)
"""The fields of two scores that have to be equal before one may be called better."""

INTERVAL = 1.96
"""Standard errors on either side that make an interval of 95 %."""

LEFT_OUT = ("fingerprint", "name")  # of the source: told in the table


def comparison_table(runs: Sequence[Path], *, force: bool = False) -> list[dict[str, Any]]:
    """Return one JSON object a run, in the order given.

    Keys: run, label, recipe, data, fingerprint, status, step, seconds, images_per_second, settings, scores. To each
    score are added `interval` (95 %, [low, high]), `rank` (from 1; None where it is not ranked), `tied` (labels of the
    runs it cannot be told from), `best` (no other shares its first rank) and `differs` (the fields of `MUST_AGREE` in
    which the runs do not agree). Numbers that are not finite are None.

    Raises:
        UsageError: fewer than two runs.
        RunError: one of them is no run.
    """
    return _table(_read(runs), force)


def ranking(rows: Sequence[Mapping[str, Any]], *, force: bool = False) -> list[dict[str, Any]]:
    """Return one JSON object for each metric that a run of a comparison table has.

    Keys: metric, extractor, direction; `refused`, whether two runs or more have it and their receipts forbid to rank
    them; `differs`, [{"field", "values": {label: value}}]; `warning`, what to tell of that in one line, or None;
    `runs`, best first, [{"label", "value", "spread", "interval", "rank", "tied"}].
    """
    listed = []
    for metric in _metrics(rows):
        scores: dict[str, dict[str, Any]] = {
            row["label"]: score for row, score in zip(rows, metric["scores"], strict=True) if score is not None
        }
        differs = [
            {"field": name, "values": {label: score.get(name) for label, score in scores.items()}}
            for name in next(iter(scores.values()))["differs"]
        ]
        about = ("label", "value", "spread", "interval", "rank", "tied")
        told = [{name: {**score, "label": label}.get(name) for name in about} for label, score in scores.items()]
        sign = -1 if next(iter(scores.values())).get("direction") == "higher" else 1
        told.sort(key=lambda score: _place(score, sign))
        listed.append(
            {
                "metric": metric["name"],
                "extractor": metric["extractor"],
                "direction": next(iter(scores.values())).get("direction"),
                "refused": bool(differs) and not force,
                "differs": differs,
                "warning": _warning(metric["name"], differs, force),
                "runs": told,
            }
        )
    return listed


def ranking_text(ranked: Sequence[Mapping[str, Any]]) -> str:
    """Lay a ranking out as aligned plain text: a block a metric, a line a run, the warnings with their metric."""
    blocks = []
    for metric in ranked:
        better = {"lower": ", lower is better", "higher": ", higher is better"}.get(str(metric["direction"]), "")
        by = f" ({metric['extractor']})" if metric["extractor"] else ""
        rows = []
        for run in metric["runs"]:
            value, spread = measured(run["value"], run["spread"])
            interval = "" if run["interval"] is None else "{}–{}".format(*_interval_text(run))
            tie = f"tied with {', '.join(run['tied'])}" if run["tied"] else ""
            place = "-" if run["rank"] is None else f"{run['rank']}."
            rows.append((f"  {place}", run["label"], value, f"± {spread}" if spread else "", interval, tie))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if number == 2 else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        warning = [f"  {metric['warning']}"] if metric["warning"] else []
        blocks.append("\n".join([f"{metric['metric']}{by}{better}", *lines, *warning]))
    return "\n".join(blocks)


def _place(score: Mapping[str, Any], sign: int) -> tuple[float, float]:
    """Return what to sort by: the rank, then the value, best first; what is not ranked comes last."""
    return (math.inf, 0.0) if score["rank"] is None else (score["rank"], sign * score["value"])


def _interval_text(run: Mapping[str, Any]) -> tuple[str, str]:
    low, high = run["interval"]
    return measured(low, run["spread"])[0], measured(high, run["spread"])[0]


def _warning(metric: str, differs: Sequence[Mapping[str, Any]], force: bool) -> str | None:
    if not differs:
        return None
    fields = "; ".join(
        f"{each['field'].replace('_', ' ')} ("
        + ", ".join(f"{label}: {_short(value)}" for label, value in each["values"].items())
        + ")"
        for each in differs
    )
    if force:
        return f"ranked by force: the receipts of {metric} differ in {fields}"
    return f"not ranked: the receipts of {metric} differ in {fields}"


def _short(value: Any) -> str:
    text = "not recorded" if value is None else setting(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def write_comparison(runs: Sequence[Path], out: Path, *, force: bool = False) -> Path:
    """Write a page with the runs' scores, last grids, curves and differing settings to `out`, and return it.

    Raises:
        UsageError: fewer than two runs.
        RunError: one of them is no run, or the page cannot be written.
    """
    records = _read(runs)
    rows = _table(records, force)
    pictures = [inline_pictures(dict(list(record.pictures.items())[-1:])).latest for record in records]
    writings = [next(iter(read_writings(dict(list(record.texts.items())[-1:]))), None) for record in records]
    charts, alone = _charts(records, [row["label"] for row in rows])
    differing, same = _settings(rows)
    content = render(
        "compare.html.j2",
        title=f"{len(rows)} runs compared",
        rows=rows,
        metrics=_metrics(rows),
        forced=force,
        pictures=pictures,
        writings=writings,
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


def _table(records: Sequence[Run], force: bool) -> list[dict[str, Any]]:
    rows, labels = [], _labels(records)
    for record, label in zip(records, labels, strict=True):
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
        _judge(dict(zip(labels, metric["scores"], strict=True)), force)
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
    """Return, for every metric, its score in each run or None: {"name", "extractor", "scores"}.

    A run that has it by several extractors makes one entry of each.
    """
    names = dict.fromkeys(score["metric"] for row in rows for score in row["scores"])
    found = []
    for name in names:
        having = [[score for score in row["scores"] if score["metric"] == name] for row in rows]
        extractors: list[Any] = list(dict.fromkeys(score.get("extractor") for scores in having for score in scores))
        if all(len(scores) <= 1 for scores in having):  # to say that the extractors differ, the scores must meet
            shown = ", ".join(str(extractor) for extractor in extractors if extractor is not None) or None
            found.append({"name": name, "extractor": shown, "scores": [next(iter(s), None) for s in having]})
            continue
        for extractor in extractors:
            chosen = [next((s for s in scores if s.get("extractor") == extractor), None) for scores in having]
            found.append({"name": name, "extractor": extractor, "scores": chosen})
    return found


def _judge(scores: Mapping[str, dict[str, Any] | None], force: bool) -> None:
    """Rank one metric's scores, by the runs' labels, or say what keeps them from being compared."""
    present = {label: score for label, score in scores.items() if score is not None}
    differs = _differing(list(present.values()))
    for score in present.values():
        interval = None
        if _is_number(score.get("value")) and _is_number(score.get("spread")):
            reach = INTERVAL * score["spread"]
            interval = [score["value"] - reach, score["value"] + reach]
        score |= {"interval": interval, "rank": None, "tied": [], "best": False, "differs": differs}
    directions = {score.get("direction") for score in present.values()}
    ranked = {label: score for label, score in present.items() if _is_number(score.get("value"))}
    if (differs and not force) or len(ranked) < 2 or not directions <= {"lower", "higher"} or len(directions) > 1:
        return
    sign = -1 if directions == {"higher"} else 1
    for label, score in ranked.items():
        others = {other: its for other, its in ranked.items() if other != label}
        score["tied"] = [other for other, its in others.items() if _tied(score, its)]
        better = [other for other, its in others.items() if sign * its["value"] < sign * score["value"]]
        score["rank"] = 1 + len(set(better) - set(score["tied"]))
    first = [score for score in ranked.values() if score["rank"] == 1]
    first[0]["best"] = len(first) == 1


def _differing(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fields in which receipts do not agree; what only some of them tell is a difference too."""
    fields = list(MUST_AGREE)
    if all(score.get("data_fingerprint") is None for score in scores):
        fields[fields.index("data_fingerprint")] = "data"  # written before fingerprints were
    return [name for name in fields if any(score.get(name) != scores[0].get(name) for score in scores)]


def _tied(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    spreads = [score["spread"] for score in (one, other) if _is_number(score.get("spread"))]
    return abs(one["value"] - other["value"]) <= INTERVAL * math.hypot(*spreads)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
        charts.append({"title": "throughput, examples/s", "lines": rates})
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
