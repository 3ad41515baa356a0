"""How long language models take to write: with what they keep, and reading all again for each token.

    python benchmarks/sampling_text.py

Times are those of the processor, one thread, of whole texts that do not end before their length. The naive way reads
all places for each token; "in view" reads those before it alone, timed in the middle of the text.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch

from kallima.data.spec import Spec, Text
from kallima.decoding import PLAIN
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.text import TextModel

CHARACTERS = tuple(map(chr, range(33, 127)))


def rows(lengths: tuple[int, ...] = (64, 256, 1024), counts: tuple[int, ...] = (1, 16)) -> Iterator[dict[str, Any]]:
    """Measure the default language models of 94 characters and yield a row for each length and number of texts."""
    torch.set_num_threads(1)
    for name in ("lstm-lm", "transformer-lm"):
        for length in lengths:
            torch.manual_seed(0)
            model = get_recipe(name).build(Spec({"text": Text("character", CHARACTERS, length)})).eval()
            assert isinstance(model, TextModel)
            for count in counts:
                codes = torch.randint(2, model.codes, (count, length))
                cached = _walked(model, codes)
                naive = _read(model, codes, 2 if count * length > 4096 else 5) * length
                in_view = _read(model, codes[:, : length // 2], 5) * length
                yield {
                    "model": name,
                    "components": length,
                    "count": count,
                    "cached_s": cached,
                    "naive_s": naive,
                    "in_view_s": in_view,
                    "speed_up": naive / cached,
                    "speed_up_in_view": in_view / cached,
                }


@torch.no_grad()
def _walked(model: TextModel, codes: torch.Tensor) -> float:
    """Return the seconds of a way through these texts, drawing beside each token what would be taken."""
    rng = torch.Generator().manual_seed(0)
    start = time.process_time()
    walk = model.walk(len(codes), None)
    for place in range(codes.shape[1]):
        model.choose(walk.parameters(), PLAIN, rng)
        walk.take(codes[:, place])
    return time.process_time() - start


@torch.no_grad()
def _read(model: TextModel, codes: torch.Tensor, times: int) -> float:
    """Return the seconds that it takes to read these texts once."""
    model.parameters_of(codes, None)
    start = time.process_time()
    for _ in range(times):
        model.parameters_of(codes, None)
    return (time.process_time() - start) / times


if __name__ == "__main__":
    for row in rows():
        cached = f"{row['model']:14s} {row['components']:5d} × {row['count']:2d}: cached {row['cached_s']:6.2f} s"
        naive = f"naive {row['naive_s']:8.1f} s ({row['speed_up']:5.0f}×)"
        print(f"{cached}, {naive}, in view {row['in_view_s']:8.1f} s ({row['speed_up_in_view']:4.0f}×)", flush=True)
