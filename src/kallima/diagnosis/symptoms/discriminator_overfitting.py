"""The discriminator knows its examples by heart: it scores them above unseen ones, and the generator copies them."""

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record
from kallima.diagnosis.shapes import lasting, level

SYMPTOM = "discriminator overfitting"
GAP = 0.75
"""Share of pairs whose training example is scored above the unseen one: one half where they look alike."""
COPIES = 0.45
"""Distance of samples to the nearest training example, over that of unseen data, that only copies have."""
LEAST_POINTS = 4

REMEDIES = (
    Remedy("augment what the discriminator sees", "--augment ada"),
    Remedy("augment it always, for very little data", "--augment diffaugment"),
    Remedy("mirror the images, where that makes sense", "--flip"),
    Remedy("penalise its gradient at the data", "--r1 10"),
    Remedy("give it fewer parameters", "--width 32"),
)


def find(record: Record) -> Finding | None:
    """Find a gap between training and unseen examples, or samples that are copies."""
    gap, near = record.sign("held_out_gap"), record.sign("nearest")
    by_gap = lasting(gap.values > GAP, LEAST_POINTS)
    by_copies = lasting(near.values < COPIES, LEAST_POINTS)
    diversity = record.sign("diversity")
    if by_copies is not None and len(diversity) and level(diversity.values) < 0.5:
        by_copies = None  # a collapsed generator may sit on one example
    if by_gap is None and by_copies is None:
        return None
    evidence, said, starts, confidence = {}, [], [], 0.0
    if by_gap is not None:
        now = level(gap.values)
        evidence["samples/held_out_gap"] = now
        said.append(f"it scores training examples above unseen ones in {now:.0%} of all pairs".replace("%", " %"))
        starts.append(gap.steps[by_gap])
        confidence = 0.6 + 0.35 * (now - GAP) / (1 - GAP)
    if by_copies is not None:
        now = level(near.values)
        evidence["samples/nearest"] = now
        said.append(f"samples are {now:.2g} times as far from a training example as unseen data is")
        starts.append(near.steps[by_copies])
        confidence = max(confidence, 0.7 + 0.28 * (1 - now / COPIES))
    return Finding(SYMPTOM, int(min(starts)), min(confidence, 0.98), evidence | {IN_WORDS: ", ".join(said)}, REMEDIES)
