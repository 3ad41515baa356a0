"""Checkerboard artefacts: a fine regular pattern over all samples."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level

SYMPTOM = "checkerboard artefacts"
STRONG = 0.9
"""Powers of ten by which the pattern exceeds the data's."""
LEAST_POINTS = 8
"""Patterns of the first hundreds of steps go away by themselves."""

REMEDIES = (
    Remedy("a generator that resizes before it convolves", "--generator resnet"),
    Remedy("sample from averaged weights", "--average 0.999"),
    Remedy("train longer: the pattern fades first where the data is smooth", "--steps 40000"),
)


def find(record: Record) -> Finding | None:
    """Find a peak of the samples' spectrum at a period of 2 or 4 pixels that the data does not have."""
    pattern = record.sign("checkerboard")
    start = lasting(pattern.values > STRONG, LEAST_POINTS)
    if start is None:
        return None
    now = level(pattern.values)
    said = f"a pattern of period 2 or 4 pixels is {10**now:,.0f} times as strong as in the data"
    confidence = min(0.95, 0.6 + 0.5 * (now - STRONG))
    return Finding(
        SYMPTOM, int(pattern.steps[start]), confidence, {"samples/checkerboard": now, IN_WORDS: said}, REMEDIES
    )
