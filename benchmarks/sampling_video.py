"""How long models of videos take to make one: with what they keep, and computing all again for each component.

    python benchmarks/sampling_video.py

Times are those of the processor, one thread, models as their recipes build them, for black-and-white videos. The naive
way is timed on a few components: each costs it the same.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch

from kallima.data.spec import Spec, Video
from kallima.decoding import PLAIN
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.ground import NaiveWalk, Walk


def rows(
    frames: tuple[int, ...] = (4, 12), side: int = 16, counts: tuple[int, ...] = (1, 8)
) -> Iterator[dict[str, Any]]:
    """Measure the models and yield a row for each number of frames and of videos."""
    torch.set_num_threads(1)
    for name in ("convlstm", "video-pixel-network"):
        for length in frames:
            torch.manual_seed(0)
            model = get_recipe(name).build(Spec({"video": Video(length, 1, side, side)})).eval()
            for count in counts:
                naive = _each(NaiveWalk(model, count, None), model, 2) * model.count
                cached = _each(model.walk(count, None), model, model.count - 1) * model.count
                yield {
                    "model": name,
                    "components": model.count,
                    "count": count,
                    "cached_s": cached,
                    "naive_s": naive,
                    "speed_up": naive / cached,
                }


@torch.no_grad()
def _each(walk: Walk, model: Any, components: int) -> float:
    """Return the seconds that a component takes."""
    rng = torch.Generator().manual_seed(0)
    walk.take(model.choose(walk.parameters(), PLAIN, rng))
    start = time.process_time()
    for _ in range(components):
        walk.take(model.choose(walk.parameters(), PLAIN, rng))
    return (time.process_time() - start) / components


if __name__ == "__main__":
    for row in rows():
        cached = f"{row['model']:20s} {row['components']:5d} × {row['count']:2d}: cached {row['cached_s']:7.2f} s"
        print(f"{cached}, naive {row['naive_s']:8.1f} s ({row['speed_up']:5.0f}×)", flush=True)
