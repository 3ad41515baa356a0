"""Oscillation: the players chase each other round in circles."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record, Series
from kallima.diagnosis.shapes import swing

SYMPTOM = "oscillation"
CYCLES = 5
"""How many are seen before it is called one."""
ONE_FREQUENCY = 0.6
"""Share of the variance that one frequency holds: noise spreads over all, a walk lies in the slow ones."""
LARGE = 0.15
"""Standard deviation of a swing that matters, over the level; for the samples' mean, in the data's deviations."""
LEAST_POINTS = 24
MOST_POINTS = 200
HOPPING = 0.5
"""Median change of the samples' mean from one look to the next, in the data's deviations."""
LEAST_HOPS = 8

REMEDIES = (
    Remedy("penalise the discriminator's gradient at the data, which damps the circle", "--r1 1"),
    Remedy("look one step ahead", "--optimizer optimistic-adam"),
    Remedy("sample from averaged weights", "--average 0.999"),
    Remedy("take smaller steps", "--learning-rate 1e-4"),
    Remedy("pull both players towards consensus", "--consensus 10"),
)


def find(record: Record) -> Finding | None:
    """Find a series in which one slow frequency holds most of the variance, or samples that hop between modes."""
    found = [f for name, series, unit in _candidates(record) if (f := _swinging(name, series, unit))]
    found += [f for name in ("centre_1", "centre_2") if (f := _hopping(record, name))]
    return max(found, key=lambda finding: finding.confidence, default=None)


def _candidates(record: Record) -> list[tuple[str, Series, float | None]]:
    """Return (name, series, unit of its swings); without a unit they are measured by the series' level."""
    named: list[tuple[str, Series, float | None]] = [
        (f"samples/{name}", record.sign(name), 1.0) for name in ("centre_1", "centre_2")
    ]
    named += [(name, series, None) for name, (series, _) in record.scores().items()]
    if len(record.sign("centre_1")) < LEAST_POINTS:
        # losses and the weights below them may circle while the averaged samples stand still
        named += [(f"{player} loss", record.loss(player), None) for player in ("discriminator", "generator")]
    return named


def _swinging(name: str, series: Series, unit: float | None) -> Finding | None:
    # the first quarter is the way to wherever it swings
    recent = Series(*(part[len(part) // 4 :][-MOST_POINTS:] for part in series))
    if len(recent) < LEAST_POINTS:
        return None
    even = np.interp(np.linspace(recent.steps[0], recent.steps[-1], len(recent)), recent.steps, recent.values)
    share, period = swing(even, CYCLES)
    size = float(even.std()) / (unit or max(float(np.abs(even).mean()), 1e-12))
    if share < ONE_FREQUENCY or size < LARGE:
        return None
    steps = period * (recent.steps[-1] - recent.steps[0]) / (len(recent) - 1)
    said = f"{name} swings with a period of {steps:,.0f} steps, which holds {share:.0%} of its variance"
    evidence = {name: float(recent.values[-1]), "period in steps": steps, "share of the variance": share}
    evidence |= {"size of the swings": size, IN_WORDS: said.replace("%", " %")}
    confidence = 0.6 + 0.35 * (share - ONE_FREQUENCY) / (1 - ONE_FREQUENCY)
    return Finding(SYMPTOM, int(_beginning(series, even)), confidence, evidence, REMEDIES)


def _beginning(series: Series, swings: np.ndarray) -> float:
    """Return the first step at which the series has crossed the level of its swings."""
    above = series.values > np.median(swings)
    crossings = np.flatnonzero(above[1:] != above[:-1])
    return float(series.steps[crossings[0] + 1]) if len(crossings) else float(series.steps[0])


def _hopping(record: Record, name: str) -> Finding | None:
    series = record.sign(name)
    hops = np.abs(np.diff(series.values))
    if len(hops) < 2 * LEAST_HOPS:
        return None
    # three looks in a row that are far apart: a single way to another place is no oscillation
    recent = hops[-LEAST_HOPS:]
    turns = np.diff(np.sign(np.diff(series.values[-LEAST_HOPS - 1 :]))) != 0
    if np.median(recent) < HOPPING or turns.mean() < 0.3:
        return None
    far = hops > HOPPING
    start = int(np.argmax(far))
    said = f"the samples' mean moves by {np.median(recent):.2g} of the data's deviation from one look to the next"
    evidence = {f"samples/{name}": float(series.values[-1]), "median change": float(np.median(recent)), IN_WORDS: said}
    return Finding(SYMPTOM, int(series.steps[start]), 0.8, evidence, REMEDIES)
