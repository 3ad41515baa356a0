"""Learning-rate schedules: pure functions from progress in [0, 1] to a multiplier, so there is no state to save."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from kallima.errors import UsageError, did_you_mean

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """Stay at 1."""
    return 1.0


def cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov & Hutter 2017, Eq. 5, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def warm_up(fraction: float, then: Schedule = constant) -> Schedule:
    """Rise in a straight line over the first `fraction` of training, then follow `then` stretched over the rest.

    Raises:
        UsageError: `fraction` is not in [0, 1).
    """
    if not 0.0 <= fraction < 1.0:
        raise UsageError(f"warm-up takes a fraction of the training from 0 up to (not including) 1, not {fraction:g}")
    if fraction == 0.0:
        return then

    def schedule(progress: float) -> float:
        if progress < fraction:
            return then(0.0) * progress / fraction
        return then((progress - fraction) / (1.0 - fraction))

    return schedule


SCHEDULES: Mapping[str, Schedule] = MappingProxyType({"constant": constant, "cosine": cosine})


def by_name(name: str, warm_up_fraction: float = 0.0) -> Schedule:
    """Return the schedule of that name, after a warm-up.

    Raises:
        UsageError: no schedule has that name, or the fraction is out of range.
    """
    if name not in SCHEDULES:
        raise UsageError(f"no schedule '{name}'{did_you_mean(name, SCHEDULES)}; there are {', '.join(SCHEDULES)}")
    return warm_up(warm_up_fraction, SCHEDULES[name])
