"""Mode dropping: good samples, but a part of the data is never made, or hardly ever."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import at, lasting, level
from kallima.diagnosis.symptoms import mode_collapse

SYMPTOM = "mode dropping"
FORGOTTEN = 0.08
"""Share of the data that no sample is near, beyond the share of samples that are not near the data."""
STRAY = 0.3
LEAST_POINTS = 5
LEAST_POINTS_FROM_START = 12
"""Healthy generators find the last modes late, and what is a collapse is to be told as one first."""
WELL = 3
"""Looks at which nothing was left out, after which it can be lost."""
RECENT = 8
"""Looks over which it is asked whether the generator is finding what it left out."""
GAIN = 0.3
"""Share of what was left out that comes back over the latest of them: then it is still being found."""

REMEDIES = (
    Remedy("let the discriminator see several samples at once", "--pack 2"),
    Remedy("let it compare the samples of a batch", "--minibatch-discrimination 16"),
    Remedy("penalise its gradient at the data", "--r1 1"),
    Remedy("train on larger batches, so that no mode is away from any", "--batch-size 512"),
)


def find(record: Record) -> Finding | None:
    """Find a part of the data, modes or labels, that the samples keep leaving out."""
    forgotten = record.sign("forgotten")
    if not len(forgotten) or mode_collapse.find(record) is not None:
        return None
    stray = at(record.sign("stray"), forgotten.steps)
    lost = forgotten.values - stray > FORGOTTEN
    labels, modes = record.sign("missing_labels"), record.sign("missing_modes")
    if len(labels):
        lost = at(labels, forgotten.steps) > 0  # they say it more surely than distances
    starved = at(modes, forgotten.steps) > 0 if len(modes) else np.zeros(len(forgotten), bool)
    ill = (lost | starved) & (stray < STRAY)
    start = lasting(ill, LEAST_POINTS)
    if start is None:
        return None
    was_well = (~ill & (stray < STRAY))[:start].sum() >= WELL
    if not was_well and len(ill) - start < LEAST_POINTS_FROM_START:
        return None
    stretch = (at(modes, forgotten.steps[start:]) if level(starved) else forgotten.values[start:])[-RECENT:]
    if level(stretch, len(stretch) // 2) < (1 - GAIN) * level(stretch[: len(stretch) // 2], len(stretch)):
        return None
    now = level(forgotten.values, (len(forgotten) - start) // 2)
    evidence = {"samples/forgotten": now, "samples/stray": level(stray)}
    said = [f"{now:.0%} of the data has no sample near it".replace("%", " %")]
    for what, counts in (("labels", labels), ("modes", modes)):
        if len(counts) and (count := level(counts.values, LEAST_POINTS)):
            evidence[f"samples/missing_{what}"] = count
            said.append(f"{count:.0f} of its {what} get less than a fifth of their share of the samples")
    counted = 0.1 * (len(evidence) > 2)
    confidence = min(0.95, 0.6 + 2 * max(0.0, now - level(stray) - FORGOTTEN) + counted)
    words = " and ".join(said)
    return Finding(SYMPTOM, int(forgotten.steps[start]), confidence, evidence | {IN_WORDS: words}, REMEDIES)
