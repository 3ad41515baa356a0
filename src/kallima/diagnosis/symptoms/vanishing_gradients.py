"""Dying gradients: a player that is no longer moved, far from where it should stop."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level
from kallima.diagnosis.standing import keeps_up

SYMPTOM = "vanishing gradients"
SHRUNK = 0.01
"""Norm over its early one."""
LEAST_NORM = 1e-6
"""A norm that is none, whatever it was."""
LEAST_POINTS = 6

REMEDIES = (
    Remedy("slow the discriminator down", "--discriminator-learning-rate 1e-4"),
    Remedy("blur the border between real and fake", "--instance-noise 0.1"),
    Remedy("forbid the discriminator to be certain", "--label-smoothing 0.1"),
    Remedy("take smaller steps, where units have died", "--learning-rate 1e-4"),
)


def find(record: Record) -> Finding | None:
    """Find a player whose gradient has shrunk to a hundredth while the samples are not there yet."""
    if keeps_up(record):
        return None
    found = []
    for player in ("generator", "discriminator"):
        norm = record.gradient_norm(player)
        if len(norm) < LEAST_POINTS:
            continue
        early = float(np.median(norm.values[:LEAST_POINTS])) if len(norm) >= 2 * LEAST_POINTS else 0.0
        start = lasting((norm.values < SHRUNK * early) | (norm.values < LEAST_NORM), LEAST_POINTS)
        if start is None:
            continue
        now = level(norm.values, LEAST_POINTS)
        said = f"the {player}'s gradient norm is {now:.2g}" + (f" after {early:.2g} at first" if early else "")
        evidence = {record.gradient_name(player): now, "early norm": early, IN_WORDS: said}
        sure = 0.75 + 0.15 * (keeps_up(record) is False) - 0.2 * (player == "discriminator")
        found.append(Finding(SYMPTOM, int(norm.steps[start]), sure, evidence, REMEDIES))
    return max(found, key=lambda finding: finding.confidence, default=None)
