"""Divergence after a best point: a score that was better once and has been getting worse since."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record, Series
from kallima.diagnosis.shapes import level, noise
from kallima.diagnosis.standing import FAR

SYMPTOM = "divergence after a best point"
WORSE = 0.3
"""Worsening over the best value (of scores that grow, over that value too)."""
SPREADS = 4.0
"""And over the series' own noise."""
LEAST_AFTER = 2
"""Points after the best that must all be worse."""
LEAST_POINTS = 4
ENERGY_FLOOR = 0.3
"""Worsening of the samples' energy distance, over the data's mean distance: modes out of balance cost up to 0.2."""
LEAST_AFTER_ENERGY = 5
LEAST_AWAY = 8
"""Looks in a row at samples that are far from the data and twice as far as once: then noise is no excuse."""

REMEDIES = (
    Remedy("go back to the best checkpoint with smaller steps", "--doctor rollback --evaluate-every 500"),
    Remedy("take smaller steps", "--learning-rate 1e-4"),
    Remedy("let the steps shrink to nothing", "--schedule cosine"),
    Remedy("penalise the discriminator's gradient at the data", "--r1 1"),
    Remedy("sample from averaged weights", "--average 0.999"),
)


def find(record: Record) -> Finding | None:
    """Find a score that has worsened by more than its spread since its best, or samples that have left the data."""
    found = [f for name, (series, lower) in record.scores().items() if (f := _worse(name, series, lower, 0.0))]
    energy = record.sign("energy")
    if len(energy) > 2 * LEAST_AFTER_ENERGY and not found:
        smooth = np.convolve(energy.values, np.ones(3) / 3, "valid")
        averaged = Series(energy.steps[2:], smooth)
        worse = _away(energy) or _worse("samples/energy", averaged, True, ENERGY_FLOOR, LEAST_AFTER_ENERGY)
        found = [worse] if worse else []
    return max(found, key=lambda finding: finding.confidence, default=None)


def _worse(name: str, series: Series, lower: bool, floor: float, least: int = LEAST_AFTER) -> Finding | None:
    if len(series) < LEAST_POINTS:
        return None
    values = series.values if lower else -series.values
    best = int(np.argmin(values))
    after = values[best + 1 :]
    if len(after) < least:
        return None
    # what the series does on its way down is no noise
    spread = noise(values[best:]) if len(after) > 3 else noise(values)
    worsening = level(values, min(3, len(after))) - values[best]
    needed = max(WORSE * abs(values[best]), min(SPREADS * spread, abs(worsening) / 1.5), floor)
    bad = after - values[best] > needed
    if not bad[-least:].all() or worsening <= needed or worsening < 2 * spread:
        return None
    return _finding(name, series, best, bad, worsening / needed, {"spread": spread})


def _away(energy: Series) -> Finding | None:
    """Find samples that stay far from the data, where they were near or nearer once, however wildly they move."""
    best = int(np.argmin(energy.values))
    least = float(energy.values[best])
    limit = max(FAR, 2 * least, least + ENERGY_FLOOR)
    bad = energy.values[best + 1 :] > limit
    if len(bad) < LEAST_AWAY or not bad[-LEAST_AWAY:].all():
        return None
    return _finding("samples/energy", energy, best, bad, level(energy.values) / limit, {})


def _finding(name: str, series: Series, best: int, bad: np.ndarray, times: float, more: dict[str, float]) -> Finding:
    """Tell of a series that is `bad` (after its best) at its end, by so many times what is needed."""
    ahead = np.flatnonzero(~bad)
    since = series.steps[best + 1 + (int(ahead[-1]) + 1 if len(ahead) else 0)]
    now, was = float(series.values[-1]), float(series.values[best])
    said = f"{name} was {was:.4g} at step {int(series.steps[best]):,}, its best, and is {now:.4g} at step "
    said += f"{int(series.steps[-1]):,}"
    evidence = {name: now, "best": was, "best step": int(series.steps[best])} | more | {IN_WORDS: said}
    confidence = min(0.97, 0.6 + 0.15 * (times - 1) + 0.03 * bad.sum())
    return Finding(SYMPTOM, int(since), float(confidence), evidence, REMEDIES)
