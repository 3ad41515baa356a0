"""How the samples stand to the data: whether the generator keeps up, whatever the losses say."""

from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import level

CLOSE = 0.15
"""Energy distance, over the data's mean distance, of samples that are on a good way."""
FAR = 0.3
"""Energy distance of samples that nobody would take for the data."""


def keeps_up(record: Record) -> bool | None:
    """Say whether the samples are near the data (True), far from it (False), or between or not known (None)."""
    energy = record.sign("energy")
    if len(energy) < 2:
        return None
    now = level(energy.values)
    if now < CLOSE:
        return True
    return False if now > FAR else None
