"""How long models of images take to make them: with what they keep, and computing all again for each component.

    python benchmarks/sampling_pixels.py

Times are those of the processor, one thread, models as their recipes build them, for black-and-white images (of
`pixel-cnn-pp` 256 levels). The naive way is timed on a few components: each costs it the same.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch

from kallima.data.spec import Image, Spec
from kallima.decoding import PLAIN
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.ground import NaiveWalk, Walk

MODELS = (
    "pixel-cnn",
    "gated-pixel-cnn",
    "pixel-cnn-pp",
    "pixel-rnn",
    "row-lstm",
    "diagonal-bilstm",
    "pixel-transformer",
)
GROWING = ("pixel-cnn", "pixel-transformer")


def rows(
    side: int = 28, sides: tuple[int, ...] = (14, 42), counts: tuple[int, ...] = (1, 16)
) -> Iterator[dict[str, Any]]:
    """Measure the models and yield a row for each size and number of images; some of them at other sizes too."""
    torch.set_num_threads(1)
    for name in MODELS:
        for each in (side, *(sides if name in GROWING else ())):
            torch.manual_seed(0)
            model = get_recipe(name).build(Spec({"image": Image(1, each, each)})).eval()
            for count in counts if each == side else counts[-1:]:
                naive = _each(NaiveWalk(model, count, None), model, 3) * model.count
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
        cached = f"{row['model']:18s} {row['components']:5d} × {row['count']:2d}: cached {row['cached_s']:7.2f} s"
        print(f"{cached}, naive {row['naive_s']:8.1f} s ({row['speed_up']:5.0f}×)", flush=True)
