"""What was found: one line of JSON a run, judged again from its events whenever the thresholds change; the tables."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

from case import Case
from cases import CASES
from trial import onset, replay, succeeded, train

ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks" / "results" / "doctor.jsonl"
RUNS = ROOT / "runs" / "doctor"
PARTS = ("calibration", "seen", "blind")
PAGE = ROOT / "docs" / "doctor.md"


def load() -> list[dict[str, Any]]:
    """Return all results, in the order of the cases."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    order = {case.name: number for number, case in enumerate(CASES)}
    found = {result["case"]: result for result in map(json.loads, lines) if result["case"] in order}
    return sorted(found.values(), key=lambda result: order[result["case"]])


def save(results: list[dict[str, Any]]) -> None:
    FILE.write_text("".join(json.dumps(result) + "\n" for result in results))


def folder_of(name: str) -> Path:
    return RUNS / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def run(cases: list[Case]) -> None:
    """Train the cases that are not there yet, or were another training then."""
    done = {result["case"]: result for result in load()}
    wanted = [c for c in cases if c.name not in done or done[c.name]["options"] != json.loads(json.dumps(c.options))]
    for number, case in enumerate(wanted, 1):
        result = train(case, folder_of(case.name))
        judge(result)
        FILE.parent.mkdir(exist_ok=True)
        with FILE.open("a") as file:
            file.write(json.dumps(result) + "\n")
        told = ", ".join(f"{f['symptom']} {f['confidence']:.2f}" for f in result["findings"]) or "nothing"
        if case.half == "blind":
            told = "not shown"  # who changes thresholds is not to see it
        print(
            f"{number}/{len(wanted)} {case.half} | {case.name} | {result.get('scores') or 'not finite'} |"
            f" {'well' if result['succeeded'] else 'ill'} | {told} | {result['seconds']} s",
            flush=True,
        )


def judge(result: dict[str, Any]) -> None:
    """Add to a result what the doctor says of its events."""
    events = folder_of(result["case"]) / "run" / "events.jsonl"
    found, told = replay(events)
    result["succeeded"] = succeeded(result)
    result["findings"] = [finding.to_json() | {"remedies": len(finding.remedies)} for finding in found]
    result["first told"] = told
    if result["provoked"]:
        result["onset"] = onset(result, events)


def judge_again() -> None:
    """Judge all runs whose events are still here by the doctor as he is now."""
    results = load()
    for result in results:
        if (folder_of(result["case"]) / "run" / "events.jsonl").exists():
            judge(result)
    save(results)


def write_tables() -> str:
    """Return the tables, and put them between their markers in docs/doctor.md where it has some."""
    text = f"{_summary()}\n\n{_provoked()}\n\n{_rest()}"
    start, end = "<!-- written by benchmarks/doctor -->\n", "<!-- end -->\n"
    page = PAGE.read_text() if PAGE.exists() else ""
    if start in page:
        before, rest = page.split(start)
        PAGE.write_text(f"{before}{start}\n{text}\n\n{end}{rest.split(end)[1]}")
    return text


def recognised(result: dict[str, Any], first: bool = False) -> list[dict[str, Any]]:
    """Return the findings that tell what was provoked: those of the accepted symptoms, or of the first of them."""
    accepted = result["provoked"][:1] if first else result["provoked"]
    return [finding for finding in result["findings"] if finding["symptom"] in accepted]


def _summary() -> str:
    lines = [f"| | {' | '.join(PARTS)} |", "|---|---|---|---|"]
    halves = [[r for r in load() if r["half"] == half] for half in PARTS]
    rows: dict[str, list[str]] = {}
    for half in halves:
        ill = [r for r in half if r["provoked"] and not r["succeeded"]]
        well = [r for r in half if not r["provoked"] and r["succeeded"]]
        seen = [r for r in ill if recognised(r)]
        exact = [r for r in ill if recognised(r, first=True)]
        alarms = [r for r in well if r["findings"]]
        ever = [r for r in well if r["first told"]]
        told = [_first_told(r) - r["onset"] for r in seen]
        since = [min(f["since"] for f in recognised(r)) - r["onset"] for r in seen]
        cells = {
            "provoked failures": str(len(ill)),
            "recognised (recall)": _share(seen, ill),
            "of them by the very symptom, not a kindred one": _share(exact, ill),
            "healthy trainings": str(len(well)),
            "false alarms at the end": _share(alarms, well),
            "false alarms at any look on the way": _share(ever, well),
            "steps from the onset to the first report, median": f"{statistics.median(told):,.0f}" if told else "",
            "steps from the onset to the `since` that is told, median": f"{statistics.median(since):,.0f}"
            if since
            else "",
        }
        for name, cell in cells.items():
            rows.setdefault(name, []).append(cell)
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def _share(some: list[Any], of: list[Any]) -> str:
    return f"{len(some)} of {len(of)} ({len(some) / len(of):.0%})".replace("%", " %") if of else ""


def _first_told(result: dict[str, Any]) -> int:
    return min(result["first told"][finding["symptom"]] for finding in recognised(result))


def _provoked() -> str:
    lines = [
        "| provoked, in the blind cases | accepted | told at the end, how sure | first told at step | onset |",
        "|---|---|---|---|---|",
    ]
    for result in (r for r in load() if r["half"] == "blind" and r["provoked"] and not r["succeeded"]):
        told = ", ".join(f"{f['symptom']} {f['confidence']:.2f}" for f in result["findings"]) or "nothing"
        first = f"{_first_told(result):,}" if recognised(result) else "**missed**"
        cause = f"{result['case']} (`{result['recipe']}`, {result['data']})"
        lines.append(f"| {cause} | {', '.join(result['provoked'])} | {told} | {first} | {result['onset']:,} |")
    return "\n".join(lines)


def _rest() -> str:
    """Name the healthy trainings and what was left out of the figures, by the scores alone."""
    results = load()
    well = [r["case"] for r in results if r["half"] == "blind" and not r["provoked"] and r["succeeded"]]
    alarms = [
        f"{r['case']} ({r['half']}: {', '.join(f['symptom'] for f in r['findings'])})"
        for r in results
        if not r["provoked"] and r["succeeded"] and r["findings"]
    ]
    recovered = [r["case"] for r in results if r["provoked"] and r["succeeded"]]
    failed = [r["case"] for r in results if not r["provoked"] and not r["succeeded"]]
    parts = [f"Healthy, of the blind cases: {', '.join(well)}."]
    for what, names in (
        ("False alarms at the end", alarms),
        ("Left out, for their scores are good though a failure was provoked", recovered),
        ("Left out, for their scores are bad though none was", failed),
    ):
        parts.append(f"{what}: {', '.join(names) or 'none'}.")
    return "\n\n".join(parts)
