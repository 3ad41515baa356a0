"""Shapes of a series: since when something holds, how noisy it is, whether it swings."""

import numpy as np

from kallima.diagnosis.record import Series

MOSTLY = 0.9
"""The share of points at which a condition must hold to have held all the time."""


def onset(holds: np.ndarray) -> int | None:
    """Return where the last stretch begins in which a condition (N,) mostly holds, up to the end; None without one."""
    if not len(holds) or not holds[-3:].mean() > 0.5:
        return None
    share = np.cumsum(holds[::-1])[::-1] / np.arange(len(holds), 0, -1)
    return int(np.argmax(holds & (share >= MOSTLY))) if (holds & (share >= MOSTLY)).any() else None


def lasting(holds: np.ndarray, points: int) -> int | None:
    """Return the onset of a condition that has held for at least so many points, else None."""
    start = onset(holds)
    return None if start is None or len(holds) - start < points else start


def noise(values: np.ndarray) -> float:
    """Return the standard deviation of a series' noise, robustly, from second differences: a trend is none."""
    if len(values) < 4:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6))


def level(values: np.ndarray, points: int = 3) -> float:
    """Return the median of the last points."""
    return float(np.median(values[-points:]))


def at(series: Series, steps: np.ndarray) -> np.ndarray:
    """Return a series' values at other steps: each the last one known there, the first one before that."""
    places = np.searchsorted(series.steps, steps, side="right") - 1
    return series.values[places.clip(0)]


def swing(values: np.ndarray, cycles: float) -> tuple[float, float]:
    """Return how much of a series' variance one frequency holds, and its period in points.

    The straight line is taken out; slower swings than `cycles` in the whole are left out, for every walk has them.
    """
    count = len(values)
    if count < 4 * cycles:
        return 0.0, 0.0
    place = np.arange(count)
    plain = values - np.polyval(np.polyfit(place, values, 1), place)
    power = np.abs(np.fft.rfft(plain * np.hanning(count))) ** 2
    power[0] = 0
    total = power.sum()
    if total <= 1e-20 * max(1.0, float(np.square(values).sum())) * count:
        return 0.0, 0.0
    first = int(np.ceil(cycles))
    if first + 1 >= len(power) - 1:
        return 0.0, 0.0
    peak = first + int(np.argmax(power[first:-1]))
    if power[peak] < power[peak - 1]:  # the flank of something slower
        return 0.0, 0.0
    return float(power[peak - 1 : peak + 2].sum() / total), count / peak
