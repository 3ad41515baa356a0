"""The latent is ignored: of each condition hardly any different samples, though conditions differ."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import at, lasting, level
from kallima.diagnosis.symptoms.mode_collapse import ALIKE, LEAST_POINTS, LEAST_POINTS_FROM_START

SYMPTOM = "latent ignored"

REMEDIES = (
    Remedy("penalise the discriminator's gradient at the data", "--r1 1"),
    Remedy("slow the generator down", "--learning-rate 1e-4"),
    Remedy("let the discriminator keep ahead", "--discriminator-steps 5"),
    Remedy("show it more samples at once", "--batch-size 128"),
)


def find(record: Record) -> Finding | None:
    """Find samples that are told apart by their conditions alone; where all are alike it is mode collapse."""
    within = record.sign("within")
    if not len(within):
        return None
    ignored = (within.values < ALIKE) & (at(record.sign("diversity"), within.steps) >= ALIKE)
    start = lasting(ignored, LEAST_POINTS)
    if start is None:
        return None
    was_well = (within.values > 2 * ALIKE)[:start].any()
    if not was_well and len(within) - start < LEAST_POINTS_FROM_START:
        return None
    now = level(within.values)
    confidence = 0.65 + 0.33 * (1 - now / ALIKE)
    said = f"two samples of one condition differ by {now:.1%} of what two examples of the data under it do"
    evidence = {
        "samples/within": now,
        "samples/diversity": level(record.sign("diversity").values),
        IN_WORDS: said.replace("%", " %"),
    }
    return Finding(SYMPTOM, int(within.steps[start]), confidence, evidence, REMEDIES)
