"""Exploding gradients: a norm that has grown by orders of magnitude and stays there."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level
from kallima.diagnosis.standing import keeps_up

SYMPTOM = "exploding gradients"
GROWN = 100.0
"""Norm over the median of the first third."""
LEAST_NORM = 10.0
HUGE = 1e4
"""A norm that is too large from the start, where the samples are not near the data."""
LEAST_POINTS = 5

REMEDIES = (
    Remedy("bound the gradients", "--clip 1"),
    Remedy("bound how steep the discriminator can be", "--spectral-norm"),
    Remedy("penalise its gradient", "--gradient-penalty 10"),
    Remedy("take smaller steps", "--learning-rate 1e-4"),
)


def find(record: Record) -> Finding | None:
    """Find a player whose gradient has grown a hundredfold, or has been huge from the start."""
    found = []
    for player in ("discriminator", "generator"):
        norm = record.gradient_norm(player)
        if len(norm) < 3 * LEAST_POINTS:
            continue
        early = max(float(np.median(norm.values[: max(LEAST_POINTS, len(norm) // 3)])), 1e-12)
        now = level(norm.values, LEAST_POINTS)
        start = lasting((norm.values > GROWN * early) & (norm.values > LEAST_NORM), LEAST_POINTS)
        said, beyond = f", {now / early:,.0f} times its early one", now / early / GROWN
        if start is None and keeps_up(record) is not True:
            start, said, beyond = lasting(norm.values > HUGE, 3 * LEAST_POINTS), "", now / HUGE
        if start is None:
            continue
        said = f"the {player}'s gradient norm is {now:.3g}{said}"
        evidence = {record.gradient_name(player): now, "times the early norm": now / early, IN_WORDS: said}
        confidence = min(0.95, 0.6 + 0.2 * np.log10(max(beyond, 0.1)))
        found.append(Finding(SYMPTOM, int(norm.steps[start]), float(max(confidence, 0.5)), evidence, REMEDIES))
    return max(found, key=lambda finding: finding.confidence, default=None)
