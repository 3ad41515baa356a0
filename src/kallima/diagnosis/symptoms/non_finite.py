"""Values that are not finite: from there on nothing is learned."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record, direction_of

SYMPTOM = "non-finite values"
LEAST_POINTS = 3
"""Gradient norms in a row: single ones are infinite in half precision, whose scaler then leaves out the step.
Where nothing else was logged after it, the training has ended on a single one."""

REMEDIES = (
    Remedy("take smaller steps", "--learning-rate 1e-4"),
    Remedy("bound the gradients", "--clip 1"),
    Remedy("flatten the discriminator around the data", "--r1 1"),
    Remedy("compute in the full range of numbers", "--precision 32"),
)


def find(record: Record) -> Finding | None:
    """Find series that end in values that are not finite, and samples that hold some."""
    found: list[tuple[float, str, float]] = []
    for name in record.names:
        if direction_of(name) is not None:
            continue  # a score that was not taken is often written as NaN
        series = record.raw(name)
        broken = ~np.isfinite(series.values) if name != "samples/finite" else series.values < 1
        if not len(broken) or not broken[-1]:
            continue
        finite = np.flatnonzero(~broken)
        start = int(finite[-1]) + 1 if len(finite) else 0
        others = [record.raw(other).steps[-1] for other in record.names if other != name]
        ended = max(others) < series.steps[-1] if others else not len(finite)
        if "grad" in name.lower() and len(broken) - start < LEAST_POINTS and not ended:
            continue
        found.append((float(series.steps[start]), name, float(series.values[start])))
    if not found:
        return None
    step, name, value = min(found)
    words = f"{name} has values that are not finite" if name == "samples/finite" else f"{name} is {value}"
    evidence = {name: str(value) if not np.isfinite(value) else value, IN_WORDS: words}
    return Finding(SYMPTOM, int(step), 1.0, evidence, REMEDIES)
