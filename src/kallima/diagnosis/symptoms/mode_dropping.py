"""Mode dropping: good samples, but a part of the data is never made."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import at, lasting, level
from kallima.diagnosis.symptoms import mode_collapse

SYMPTOM = "mode dropping"
FORGOTTEN = 0.08
"""Share of the data that no sample is near, beyond the share of samples that are not near the data."""
MISSING_LABELS = 1
STRAY = 0.3
LEAST_POINTS = 10
"""Healthy generators find the last modes late."""
GAIN = 0.3
"""Share of what was forgotten that comes back over the stretch, while the generator is still finding it."""

REMEDIES = (
    Remedy("let the discriminator see several samples at once", "--pack 2"),
    Remedy("let it compare the samples of a batch", "--minibatch-discrimination 16"),
    Remedy("penalise its gradient at the data", "--r1 1"),
    Remedy("train on larger batches, so that no mode is away from any", "--batch-size 512"),
)


def find(record: Record) -> Finding | None:
    """Find a part of the data, or labels, that the samples keep leaving out."""
    forgotten = record.sign("forgotten")
    if not len(forgotten) or mode_collapse.find(record) is not None:
        return None
    stray = at(record.sign("stray"), forgotten.steps)
    missing = record.sign("missing_labels")
    lost = forgotten.values - stray > FORGOTTEN
    if len(missing):
        # where there are labels, they say it more surely than distances
        lost = at(missing, forgotten.steps) >= MISSING_LABELS
    start = lasting(lost & (stray < STRAY), LEAST_POINTS)
    if start is None:
        return None
    stretch = forgotten.values[start:]
    before, now = level(stretch[: len(stretch) // 2], len(stretch)), level(stretch, len(stretch) // 2)
    if now < (1 - GAIN) * before:
        return None
    evidence = {"samples/forgotten": now, "samples/stray": level(stray)}
    said = f"{now:.0%} of the data has no sample near it".replace("%", " %")
    if len(missing):
        evidence["samples/missing_labels"] = level(missing.values, LEAST_POINTS)
        said += f", {level(missing.values, LEAST_POINTS):.0f} labels have hardly any"
    confidence = min(0.95, 0.6 + 2 * max(0.0, now - level(stray) - FORGOTTEN) + 0.1 * bool(len(missing)))
    return Finding(SYMPTOM, int(forgotten.steps[start]), confidence, evidence | {IN_WORDS: said}, REMEDIES)
