"""How long a WaveNet takes to make sounds: with its rings, and computing all again, or all in view, for each sample.

    python benchmarks/sampling_sound.py

Times are those of the processor, one thread. The naive ways are timed on a few samples in the middle of the sound.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from kallima.data.spec import Audio, Spec
from kallima.decoding import PLAIN
from kallima.recipe import recipes
from kallima.systems.autoregressive.ground import NaiveWalk, Walk

RATE = 8000


def rows(seconds: tuple[float, ...] = (0.25, 1.0, 4.0), counts: tuple[int, ...] = (1, 4)) -> Iterator[dict[str, Any]]:
    """Measure the default `wavenet` and yield a row for each length and number of sounds."""
    torch.set_num_threads(1)
    for length in seconds:
        torch.manual_seed(0)
        samples = int(length * RATE)
        model = recipes()["wavenet"].build(Spec({"audio": Audio(RATE, samples)})).eval()
        for count in counts:
            zeros = torch.zeros(count, samples, dtype=torch.int64)
            near = min(samples, model.receptive_field)
            cached = _each(model.walk(count, None), model, 1000)
            naive = _each(NaiveWalk(model, count, None), model, 2)
            in_view = _timed(lambda near=near, zeros=zeros, model=model: model.parameters_of(zeros[:, :near], None), 3)
            yield {
                "model": "wavenet",
                "components": samples,
                "count": count,
                "cached_s": cached * samples,
                "naive_s": naive * samples,
                "in_view_s": in_view * samples,
                "speed_up": naive / cached,
                "speed_up_in_view": in_view / cached,
            }


@torch.no_grad()
def _each(walk: Walk, model: Any, steps: int) -> float:
    """Return the seconds that a component takes."""
    rng = torch.Generator().manual_seed(0)
    walk.take(model.choose(walk.parameters(), PLAIN, rng))
    return _timed(lambda: walk.take(model.choose(walk.parameters(), PLAIN, rng)), steps)


@torch.no_grad()
def _timed(what: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        what()
    return (time.process_time() - start) / times


if __name__ == "__main__":
    for row in rows():
        cached = f"{row['components'] / RATE:5g} s × {row['count']}: cached {row['cached_s']:7.1f} s"
        naive = f"naive {row['naive_s']:9,.0f} s ({row['speed_up']:6,.0f}×)"
        print(f"{cached}, {naive}, what is in view {row['in_view_s']:7,.0f} s ({row['speed_up_in_view']:4,.0f}×)")
