"""The generator wins, or the discriminator is blind: it tells nothing apart though there is much to tell."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level
from kallima.diagnosis.standing import keeps_up

SYMPTOM = "discriminator blind"
FOOLED = 0.35
"""Accuracy of a discriminator that takes fakes for real more often than real examples."""
UNDECIDED = 0.03
"""How near to one half accuracy is when nothing is told apart."""
NO_LOSS = 0.1
"""Loss of a non-saturating generator whose every sample is taken for real."""
MISTAKEN = 2.0
"""Loss of a cross-entropy discriminator that is wrong more often than not, both terms added."""
FLAT = 1e-3
"""Spread of a loss, over its level, that does not move."""
LEAST_POINTS = 10

REMEDIES = (
    Remedy("let the discriminator take more steps", "--discriminator-steps 5"),
    Remedy("let it learn faster", "--discriminator-learning-rate 4e-4"),
    Remedy("slow the generator down", "--learning-rate 1e-4"),
    Remedy("take off what holds it back", "--instance-noise 0 --label-smoothing 0"),
)


def find(record: Record) -> Finding | None:
    """Find a discriminator that is fooled, or one that stays undecided while the samples are far from the data."""
    accuracy, standing = record.accuracy, keeps_up(record)
    fooled = lasting(accuracy.values < FOOLED, LEAST_POINTS)
    if fooled is not None and standing is not True:
        now = level(accuracy.values, LEAST_POINTS)
        words = f"it scores fakes above real examples in {1 - now:.0%} of all pairs".replace("%", " %")
        evidence = {record.accuracy_name: now, IN_WORDS: words}
        return Finding(SYMPTOM, int(accuracy.steps[fooled]), 0.7 + 0.2 * (standing is False), evidence, REMEDIES)
    undecided = lasting(np.abs(accuracy.values - 0.5) < UNDECIDED, LEAST_POINTS)
    if undecided is not None and standing is False:
        now = level(accuracy.values, LEAST_POINTS)
        energy = level(record.sign("energy").values)
        words = f"it tells {now:.0%} of pairs apart, no more than chance, and the samples are far from the data"
        evidence = {record.accuracy_name: now, "samples/energy": energy, IN_WORDS: words.replace("%", " %")}
        return Finding(SYMPTOM, int(accuracy.steps[undecided]), 0.85, evidence, REMEDIES)
    return None if len(accuracy) else _by_losses(record, standing)


def _by_losses(record: Record, standing: bool | None) -> Finding | None:
    """Judge by the losses, where that is all there is."""
    own, other = record.loss("discriminator"), record.loss("generator")
    if len(own) < LEAST_POINTS or len(other) < LEAST_POINTS or own.values.min() < 0 or standing is True:
        return None
    mistaken = lasting(own.values > MISTAKEN, LEAST_POINTS)
    if mistaken is not None and other.values.min() >= 0 and level(other.values, LEAST_POINTS) < NO_LOSS:
        words = f"its loss is {level(own.values):.3g} and the generator's {level(other.values):.2g}"
        evidence = {"discriminator loss": level(own.values), "generator loss": level(other.values), IN_WORDS: words}
        return Finding(SYMPTOM, int(own.steps[mistaken]), 0.8, evidence, REMEDIES)
    last = own.values[-LEAST_POINTS:]
    if standing is False and last.std() < FLAT * max(abs(last.mean()), 1e-12):
        words = f"its loss stays at {last.mean():.4g} while the samples are far from the data"
        evidence = {"discriminator loss": float(last.mean()), IN_WORDS: words}
        flat = lasting(np.abs(own.values - last.mean()) < 3 * FLAT * abs(last.mean()), LEAST_POINTS)
        return Finding(SYMPTOM, int(own.steps[flat or 0]), 0.7, evidence, REMEDIES)
    return None
