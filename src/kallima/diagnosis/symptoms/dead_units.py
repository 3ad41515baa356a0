"""Dead units and saturated outputs: parts of the generator that give the same whatever comes in."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level

SYMPTOM = "dead units"
DEAD = 0.6
"""Share of rectified units that are 0 for every sample; a third is common in healthy ones."""
SATURATED = 0.35
"""Share of outputs at the ends of the range, beyond the data's."""
LEAST_POINTS = 5

REMEDIES = (
    Remedy("take smaller steps", "--learning-rate 1e-4"),
    Remedy("let the learning rate rise slowly", "--warm-up 0.05"),
    Remedy("bound the gradients", "--clip 1"),
)


def find(record: Record) -> Finding | None:
    """Find a generator most of whose units are dead, or whose outputs lie at the ends of their range."""
    dead, saturated = record.sign("dead_units"), record.sign("saturated")
    by_units = lasting(dead.values > DEAD, LEAST_POINTS)
    by_outputs = lasting(saturated.values > SATURATED, LEAST_POINTS)
    if by_units is None and by_outputs is None:
        return None
    evidence, said, starts, confidence = {}, [], [], 0.0
    if by_units is not None:
        now = level(dead.values)
        evidence["samples/dead_units"] = now
        said.append(f"{now:.0%} of the generator's units are 0 for every sample".replace("%", " %"))
        starts.append(dead.steps[by_units])
        confidence = 0.65 + 0.3 * (now - DEAD) / (1 - DEAD)
    if by_outputs is not None:
        now = level(saturated.values)
        evidence["samples/saturated"] = now
        said.append(f"{now:.0%} more outputs than in the data are at the end of their range".replace("%", " %"))
        starts.append(saturated.steps[by_outputs])
        confidence = max(confidence, 0.65 + 0.3 * (now - SATURATED) / (1 - SATURATED))
    return Finding(SYMPTOM, int(min(starts)), confidence, evidence | {IN_WORDS: ", ".join(said)}, REMEDIES)
