"""Mode collapse: many latents, hardly any different samples."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import at, lasting, level

SYMPTOM = "mode collapse"
ALIKE = 0.25
"""Mean distance of two samples, over the data's, below which they are all alike."""
FORGOTTEN = 0.5
"""Share of the data that no sample is near."""
STRAY = 0.3
"""Share of samples off the data, above which the generator rather has not learned yet."""
NEVER_LEARNED = 0.2
"""What confidence loses where samples were never near the data: rather they have not been moved at all."""
LEAST_POINTS = 5
LEAST_POINTS_FROM_START = 12
"""Generators begin collapsed: one that never was otherwise is given this long."""

REMEDIES = (
    Remedy("let the discriminator see several samples at once", "--pack 2"),
    Remedy("let it compare the samples of a batch", "--minibatch-discrimination 16"),
    Remedy("penalise its gradient at the data", "--r1 1"),
    Remedy("slow the generator down", "--learning-rate 1e-4"),
    Remedy("let the discriminator keep ahead", "--discriminator-steps 5"),
)


def find(record: Record) -> Finding | None:
    """Find samples that are all alike, or that lie near no more than a part of the data."""
    diversity = record.sign("diversity")
    if not len(diversity):
        return None
    forgotten = at(record.sign("forgotten"), diversity.steps)
    stray = at(record.sign("stray"), diversity.steps)
    alike = diversity.values < ALIKE
    partial = (forgotten > FORGOTTEN) & (stray < STRAY)
    start = lasting(alike | partial, LEAST_POINTS)
    if start is None:
        return None
    was_well = ((diversity.values > 2 * ALIKE) & (forgotten < FORGOTTEN))[:start].any()
    if not was_well and len(diversity) - start < LEAST_POINTS_FROM_START:
        return None
    now, lost = level(diversity.values), level(forgotten)
    how_alike = 0.65 + 0.33 * (1 - now / ALIKE) if now < ALIKE else 0.0
    how_partial = 0.65 + 0.3 * min(1.0, (lost - FORGOTTEN) / 0.35) if level(partial) else 0.0
    confidence = max(how_alike, how_partial)
    if not was_well and level(stray) > STRAY:
        confidence -= NEVER_LEARNED
    if confidence <= 0:
        return None
    evidence = {"samples/diversity": now, "samples/forgotten": lost}
    duplicates = record.sign("duplicates")
    if len(duplicates):
        evidence["samples/duplicates"] = level(duplicates.values)
    said = f"two samples differ by {now:.1%} of what two examples of the data do"
    said = f"{said}, and {lost:.0%} of the data has no sample near it".replace("%", " %")
    return Finding(SYMPTOM, int(diversity.steps[start]), min(confidence, 0.98), evidence | {IN_WORDS: said}, REMEDIES)
