"""Learning has stopped: nothing moves, though the samples are not good."""

import numpy as np

from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.record import Record, Series
from kallima.diagnosis.shapes import lasting, level, noise
from kallima.diagnosis.standing import FAR

SYMPTOM = "learning has stopped"
GAIN = 0.05
"""Improvement over the level, below which nothing was learned."""
STILL = 0.4
"""Share of the training over which nothing was."""
LEAST_POINTS = 12
CONSTANT = 1e-5
"""Spread of a loss, over its level, that no batch of real training leaves it."""

REMEDIES = (
    Remedy("take larger steps", "--learning-rate 1e-3"),
    Remedy("keep the learning rate up", "--schedule constant"),
    Remedy("let the discriminator teach more", "--discriminator-steps 5"),
    Remedy("start from a stronger pair", "--generator resnet --discriminator resnet"),
)


def find(record: Record) -> Finding | None:
    """Find samples that stay far from the data without a gain, a score that never got better, or constant losses."""
    energy = record.sign("energy")
    if len(energy) >= LEAST_POINTS:
        return _without_gain("samples/energy", energy, level(energy.values, 5) > FAR)
    for player in ("discriminator", "generator"):
        loss = record.loss(player)
        if len(loss) < LEAST_POINTS:
            continue
        last = level(loss.values)
        start = lasting(np.abs(loss.values - last) <= CONSTANT * max(abs(last), 1e-12), LEAST_POINTS)
        if start is not None:
            said = f"the {player}'s loss stays at {last:.6g}"
            return Finding(SYMPTOM, int(loss.steps[start]), 0.9, {f"{player} loss": last, IN_WORDS: said}, REMEDIES)
    for name, (series, lower) in record.scores().items():
        early = len(series) and series.steps[0] <= 0.1 * record.last_step
        if len(series) >= LEAST_POINTS // 2 and early:
            turned = series if lower else Series(series.steps, -series.values)
            flat = turned.values.min() > turned.values[:2].mean() - GAIN * abs(turned.values[:2].mean())
            if flat:
                return _without_gain(name, turned, True)
    return None


def _without_gain(name: str, series: Series, bad: bool) -> Finding | None:
    """Judge a series of which less is better: a long time without a gain is a stop, where it is bad besides."""
    now, spread = abs(level(series.values)), noise(series.values)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(series.values, 1, "edge"), 3), 1)
    best = np.minimum.accumulate(smooth)
    start = int(np.argmax(best <= best[-1] + max(GAIN * abs(best[-1]), 2 * spread)))
    if not bad or len(series) - start < max(LEAST_POINTS // 2, STILL * len(series)):
        return None
    said = f"{name} is {now:.3g} and has not become better since"
    if name == "samples/energy":
        said = f"the samples are far from the data ({name} is {now:.3g}) and have not come nearer since"
    sure = 0.7 + 0.2 * (np.ptp(series.values) < GAIN * now)  # or has never moved
    return Finding(SYMPTOM, int(series.steps[start]), float(sure), {name: now, IN_WORDS: said}, REMEDIES)
