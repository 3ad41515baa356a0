"""From series to charts: what is drawn together, and with how many points."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from kallima.reporting.runs import Series

MOST_POINTS = 2_000
MEAN_POINTS = 400
LONG_ENOUGH = 120  # points from which on a running mean helps the eye


def thin(series: Series, most: int = MOST_POINTS) -> Series:
    """Return at most `most` of the points: first and last, and of every stretch the lowest, the highest and a gap.

    So no spike and no NaN is lost, which a plain stride would do.
    """
    count = len(series.steps)
    if count <= most:
        return series
    missing = np.isnan(series.values)
    edges = np.linspace(1, count - 1, (most - 2) // (3 if missing.any() else 2) + 1).astype(np.int64)
    keep = {0, count - 1}
    for start, stop in pairwise(edges):
        part, gap = series.values[start:stop], missing[start:stop]
        if gap.any():
            keep.add(int(start + gap.argmax()))
        if not gap.all():
            keep |= {int(start + np.nanargmin(part)), int(start + np.nanargmax(part))}
    chosen = np.array(sorted(keep))
    return Series(series.steps[chosen], series.values[chosen])


def running_mean(series: Series, window: int, most: int = MEAN_POINTS) -> Series:
    """Return the mean over `window` neighbouring points (fewer at the ends, NaN left out), at `most` even places."""
    finite = ~np.isnan(series.values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, series.values, 0.0))])
    known = np.concatenate([[0], np.cumsum(finite)])
    places = np.unique(np.linspace(0, len(series.steps) - 1, most).astype(np.int64))
    start, stop = np.maximum(0, places - window // 2), np.minimum(len(finite), places + window // 2 + 1)
    count = known[stop] - known[start]
    mean = np.where(count > 0, (total[stop] - total[start]) / np.maximum(1, count), np.nan)
    return Series(series.steps[places], mean)


def line(label: str, series: Series, colour: int) -> dict[str, Any]:
    """Return one curve for the page: thinned, with a running mean over a fiftieth of it where it is long."""
    curve = {"label": label, "colour": colour, "points": _plain(thin(series)), "mean": None}
    if len(series.steps) >= LONG_ENOUGH:
        curve["mean"] = _plain(running_mean(series, max(5, len(series.steps) // 50)))
    return curve


def charts(series: Mapping[str, Series]) -> list[dict[str, Any]]:
    """Group a run's series: a chart a phase with its terms, one of all gradient norms, one a score."""
    groups: dict[str, list[tuple[str, Series]]] = {}
    norms: list[tuple[str, Series]] = []
    scores: dict[str, list[tuple[str, Series]]] = {}
    for name, values in series.items():
        phase, _, term = name.rpartition("/")
        if term == "gradient_norm":
            norms.append((phase or term, values))
        elif phase == "score":
            scores[f"score: {term}"] = [(term, values)]
        else:
            groups.setdefault(phase or "loss", []).append((term, values))
    if norms:
        groups["gradient norm"] = norms
    return [
        {"title": title, "lines": [line(label, values, colour) for colour, (label, values) in enumerate(members)]}
        for title, members in (groups | scores).items()
    ]


def _plain(series: Series) -> list[list[Any]]:
    """Return [steps, values] for JSON, six significant digits, None for NaN."""
    return [series.steps.tolist(), [None if np.isnan(value) else float(f"{value:.6g}") for value in series.values]]


def first_gaps(series: Mapping[str, Series]) -> dict[str, int]:
    """Return, for each series that is somewhere not finite, the first step at which it is not."""
    return {
        name: int(values.steps[np.isnan(values.values).argmax()])
        for name, values in series.items()
        if np.isnan(values.values).any()
    }
