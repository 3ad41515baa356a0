"""Steps that take turns within one process, so that a noisy machine disturbs all alike."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kallima.data.batch import Batch

Step = Callable[[], object]


class OneBatch:
    """A stream that always gives the same batch, already on the device."""

    position = 0

    def __init__(self, **fields: Tensor):
        self.batch = Batch(fields)

    def next(self) -> Batch:
        return self.batch


def take_turns(
    sides: Mapping[str, Step],
    *,
    rounds: int,
    warm_up: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each side's steps, of rounds in which each has one turn; who goes first changes.

    `clock` tells them: of one thread on the CPU `time.process_time` counts no waiting for other programs.
    """

    def timed(step: Step) -> float:
        start = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - start

    for _ in range(warm_up):
        for step in sides.values():
            step()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for order in itertools.islice(itertools.cycle(itertools.permutations(sides)), rounds):
        for name in order:
            found[name].append(timed(sides[name]))
    return found


def times_as_fast(one: list[float], other: list[float]) -> str:
    """Say how many times as fast the one is: the median of the ratios of neighbouring steps, and its quartiles."""
    low, ratio, high = statistics.quantiles([b / a for a, b in zip(one, other, strict=True)], n=4)
    return f"{ratio:.2f} ({low:.2f}–{high:.2f})"
