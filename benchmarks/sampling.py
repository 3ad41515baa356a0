"""Making examples component by component: with what a model keeps, and computing all again for each, in one run.

    python benchmarks/sampling.py               # all kinds; the table of docs/performance.md
    python benchmarks/sampling.py pixels text   # some

Times are those of the processor, one thread. Writes benchmarks/results/sampling.jsonl and prints a markdown table.
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import kallima
import sampling_pixels
import sampling_sound
import sampling_text
import sampling_video

RESULTS = Path(__file__).parent / "results" / "sampling.jsonl"
KINDS: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "pixels": sampling_pixels.rows,
    "sound": sampling_sound.rows,
    "text": sampling_text.rows,
    "video": sampling_video.rows,
}


def line(row: dict[str, Any]) -> str:
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
