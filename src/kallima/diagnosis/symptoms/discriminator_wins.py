"""The discriminator wins: it tells everything apart, and the generator no longer learns from it."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record, Series
from kallima.diagnosis.shapes import at, lasting, level
from kallima.diagnosis.standing import keeps_up

SYMPTOM = "discriminator wins"
SURE = 0.98
"""Accuracy from which on the discriminator is never in doubt."""
NO_LOSS = 0.05
"""Loss of a discriminator that makes no mistakes, for the losses that are never negative."""
BEATEN = 4.0
"""Loss of a non-saturating generator whose every sample is seen through: D(G(z)) < 2 %."""
VANISHED = 0.05
"""Gradient norm of the generator, over its early one, that no longer moves it."""
LEAST_POINTS = 6
LEAST_LOOKS = 5
"""Looks at the samples before their distance counts: those of the first steps are far from the data in any training."""

REMEDIES = (
    Remedy("slow the discriminator down", "--discriminator-learning-rate 1e-4"),
    Remedy("penalise its gradient at the data", "--r1 1"),
    Remedy("blur the border between real and fake", "--instance-noise 0.1"),
    Remedy("bound how steep it can be", "--spectral-norm"),
    Remedy("forbid it to be certain", "--label-smoothing 0.1"),
)


def find(record: Record) -> Finding | None:
    """Find a discriminator without loss or doubt whose generator has lost its gradient or falls behind."""
    accuracy, loss = record.accuracy, record.loss("discriminator")
    sure = lasting(accuracy.values >= SURE, LEAST_POINTS)
    never_negative = len(loss) and loss.values.min() >= 0
    lossless = lasting(loss.values < NO_LOSS, LEAST_POINTS) if never_negative else None
    if sure is None and lossless is None:
        return None
    if len(accuracy) and level(accuracy.values, LEAST_POINTS) < SURE:
        return None  # a loss can be small for other reasons, such as its scale
    starts = [float(s.steps[i]) for s, i in ((accuracy, sure), (loss, lossless)) if i is not None]
    since, weight = min(starts), 0.25 * (sure is not None) + 0.35 * (lossless is not None)
    evidence: dict[str, object] = {}
    said = []
    if sure is not None:
        evidence[record.accuracy_name] = level(accuracy.values)
        said.append(f"it tells {level(accuracy.values):.1%} of all pairs apart".replace("%", " %"))
    if lossless is not None:
        evidence["discriminator loss"] = level(loss.values)
        said.append(f"its loss is {level(loss.values):.2g}")
    beaten = record.loss("generator")
    if lossless is not None and len(beaten) and level(beaten.values, LEAST_POINTS) > BEATEN:
        evidence["generator loss"] = level(beaten.values)
        said.append(f"the generator's is {level(beaten.values):.3g}")
        weight += 0.3
    left = remaining(record.gradient_norm("generator"), since)
    if left is not None and left < VANISHED:
        evidence["generator gradient, over its early one"] = left
        said.append(f"the generator's gradient is {left:.1%} of what it was".replace("%", " %"))
        weight += 0.35
    standing = keeps_up(record) if len(record.sign("energy")) >= LEAST_LOOKS else None
    if standing is not None:
        weight += -0.5 if standing else 0.35
        if not standing:
            said.append("the samples are far from the data")
    if weight < 0.5:
        return None
    evidence[IN_WORDS] = ", ".join(said)
    return Finding(SYMPTOM, int(since), min(weight, 0.98), evidence, REMEDIES)


def remaining(norm: Series, since: float) -> float | None:
    """Return the last gradient norm over the one before `since`, or over the early one where that is all there is."""
    if len(norm) < 2 * LEAST_POINTS:
        return None
    before = norm.values[norm.steps < since]
    early = before if len(before) >= 3 else norm.values[:LEAST_POINTS]
    largest = float(np.median(early))
    return None if largest <= 0 else float(at(norm, norm.steps[-LEAST_POINTS:]).mean()) / largest
