"""Making examples component by component: with what a model keeps, and computing all again for each, in one run.

    python benchmarks/sampling.py               # all kinds; the table of docs/performance.md
    python benchmarks/sampling.py images texts  # some

Models are as their recipes build them, untrained; times are those of the processor, one thread. The naive way is timed
on a few components, as each costs it the same; "in view" computes again only what a component depends on, where that
is less. Writes benchmarks/results/sampling.jsonl and prints a markdown table.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import kallima
from kallima.data.spec import Audio, Image, Spec, Text, Video
from kallima.decoding import PLAIN
from kallima.recipe import get_recipe
from kallima.systems.autoregressive.ground import Autoregressive, NaiveWalk, Walk

RESULTS = Path(__file__).parent / "results" / "sampling.jsonl"
MOST = 2_000  # components that the cached way is timed on
FEW = 2  # and the naive one
CHARACTERS = tuple(map(chr, range(33, 127)))
RATE = 8_000
ON_IMAGES = (
    *("pixel-cnn", "gated-pixel-cnn", "pixel-cnn-pp", "pixel-rnn"),
    *("row-lstm", "diagonal-bilstm", "pixel-transformer"),
)

Row = dict[str, Any]


def images() -> Iterator[Row]:
    """Black and white, of `pixel-cnn-pp` 256 levels."""
    for name in ON_IMAGES:
        for count in (1, 16):
            yield measure(name, Spec({"image": Image(1, 28, 28)}), count)
    for name in ("pixel-cnn", "pixel-transformer"):
        for side in (14, 42):
            yield measure(name, Spec({"image": Image(1, side, side)}), 16)


def sounds() -> Iterator[Row]:
    """A quarter of a second to four."""
    for seconds in (0.25, 1.0, 4.0):
        for count in (1, 4):
            yield measure("wavenet", Spec({"audio": Audio(RATE, int(seconds * RATE))}), count)


def texts() -> Iterator[Row]:
    """Of 94 characters, none of which ends before its length."""
    for name in ("lstm-lm", "transformer-lm"):
        for length in (64, 256, 1024):
            for count in (1, 16):
                yield measure(name, Spec({"text": Text("character", CHARACTERS, length)}), count, first=2)


def videos() -> Iterator[Row]:
    """Black and white, 16×16."""
    for name in ("convlstm", "video-pixel-network"):
        for frames in (4, 12):
            for count in (1, 8):
                yield measure(name, Spec({"video": Video(frames, 1, 16, 16)}), count)


KINDS: dict[str, Callable[[], Iterator[Row]]] = {"images": images, "sounds": sounds, "texts": texts, "videos": videos}


@torch.inference_mode()
def measure(name: str, spec: Spec, count: int, first: int = 0) -> Row:
    """Time both ways of a recipe's model through `count` examples, whose components are `first` and the next one."""
    torch.manual_seed(0)
    model = get_recipe(name).build(spec).eval()
    assert isinstance(model, Autoregressive)
    given = first + torch.randint(2, (count, model.count))
    cached = seconds(model, model.walk(count, None), given, min(MOST, model.count - 1)) * model.count
    naive = seconds(model, NaiveWalk(model, count, None), given, FEW) * model.count
    row = {"model": name, "components": model.count, "count": count, "cached_s": cached, "naive_s": naive}
    row["speed_up"] = naive / cached
    reach = getattr(model, "receptive_field", model.count)
    if reach < model.count:
        model.parameters_of(given[:, :reach], None)
        start = time.process_time()
        for _ in range(FEW):
            model.parameters_of(given[:, :reach], None)
        row["in_view_s"] = (time.process_time() - start) / FEW * model.count
        row["speed_up_in_view"] = row["in_view_s"] / cached
    return row


def seconds(model: Autoregressive, walk: Walk, given: torch.Tensor, components: int) -> float:
    """Return the time a component takes, a draw of it included, though what is given is what is taken."""
    rng = torch.Generator().manual_seed(0)
    model.choose(walk.parameters(), PLAIN, rng)
    walk.take(given[:, 0])  # the first is not timed: memory is made for it
    start = time.process_time()
    for place in range(1, components + 1):
        model.choose(walk.parameters(), PLAIN, rng)
        walk.take(given[:, place % model.count])
    return (time.process_time() - start) / components


def line(row: Row) -> str:
    """Write a row of the table."""
    cached = f"{row['cached_s']:.2f} s | {1000 * row['cached_s'] / row['components']:.2f} ms"
    naive = f"{row['naive_s']:,.1f} s | **{row['speed_up']:,.0f}×**"
    return f"| {row['model']} | {row['components']:,} | {row['count']} | {cached} | {naive} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all by default")
    kinds = parser.parse_args().kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no kind '{unknown.pop()}'; there are {', '.join(KINDS)}")
    torch.set_num_threads(1)
    print("| model | components | at once | cached | a component | naive | speed-up |\n|---|---|---|---|---|---|---|")
    measured = []
    for kind in kinds:
        for row in KINDS[kind]():
            print(line(row), flush=True)
            own = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
            receipt = {"kallima": kallima.__version__, "torch": torch.__version__, "machine": platform.machine()}
            measured.append({"kind": kind, **own, **receipt})
    kept = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    others = [text for text in kept if json.loads(text)["kind"] not in kinds]
    RESULTS.write_text("\n".join([*others, *map(json.dumps, measured)]) + "\n")


if __name__ == "__main__":
    main()
