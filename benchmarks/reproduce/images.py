"""Reproductions on images: each entry is trained by `kallima.train`, judged, pictured, and held against its bar."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import entries
import numpy as np
from entry import Entry

import results

PROTOCOL = "images"
GALLERY = results.ROOT / "docs" / "images" / "gallery"
MOST_BYTES = 150_000
QUIET: dict[str, Any] = {"sample_every": 0, "checkpoint_every": 10**6, "doctor": "off", "device": "cpu"}


def train_and_judge(name: str, seed: int) -> dict[str, Any]:
    """Train one entry with one seed; return its figures and the seconds of processor time that the training took."""
    import torch

    import kallima

    torch.set_num_threads(1)
    entry = entries.ENTRIES[name]
    data, told = entry.data(), {"entry": name, "seed": seed, "command": entry.command}
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        try:
            run = kallima.train(entry.recipe, data=data, seed=seed, out=Path(folder) / "run", **QUIET, **entry.options)
        except kallima.TrainingError as error:
            return told | {"failed": str(error)}
        seconds = time.process_time() - start
        figures = entry.judge(run)
        if entry.picture and seed == 0:
            write_picture(entry.picture(run), GALLERY / f"{file_name(name)}.png")
    return told | {"figures": figures, "cpu_seconds": round(seconds, 1)}


def file_name(name: str) -> str:
    """Turn an entry's name into one that a file may have: "dcgan, 500 images" to "dcgan-500-images"."""
    return "-".join(name.replace(",", " ").replace("+", " ").split())


def write_picture(images: np.ndarray, path: Path) -> None:
    """Write images as a grid, eight a row, as large as its file may be."""
    from kallima.reporting.grid import image_grid, save_picture

    for scale in (2, 1):
        save_picture(path, image_grid(images, columns=8, scale=scale))
        if path.stat().st_size <= MOST_BYTES:
            return


def run(names: Sequence[str], seeds: int | None, jobs: int) -> None:
    """Run what is not there yet: each entry with its own number of seeds, or with `seeds`."""
    wanted = [(name, seed) for name in names for seed in range(seeds or entries.ENTRIES[name].seeds)]
    wanted.sort(key=lambda pair: pair[1])
    done = {(name, result["seed"]) for name in names for result in _results(name)}
    results.work_through(PROTOCOL, train_and_judge, [pair for pair in wanted if pair not in done], jobs)


def means(name: str) -> dict[str, float]:
    """Return the mean of each figure of an entry over its seeds, its "median" and its "best"; empty if not run."""
    kinds = {"": statistics.mean, "median ": statistics.median, "best ": max}
    return {kind + figure: over(values) for kind, over in kinds.items() for figure, values in _values(name).items()}


def tables() -> str:
    """Return a table a group in Markdown, of the entries that were run."""
    groups = itertools.groupby(entries.ENTRIES.items(), key=lambda item: item[1].group)
    found = [(group, [row for name, entry in members if (row := _row(name, entry))]) for group, members in groups]
    return "\n\n".join("\n".join([f"**{group}**\n", *_HEAD, *rows]) for group, rows in found if rows)


_HEAD = (
    "| what was run | seeds | figures | bar | | CPU, s | published |",
    "|---|---|---|---|---|---|---|",
)


def _results(name: str) -> list[dict[str, Any]]:
    """Return the results of an entry as it is now: what was run with other options counts no more."""
    told = {"entry": name, "command": entries.ENTRIES[name].command}
    return [result for result in results.load(PROTOCOL) if result.items() >= told.items()]


def _values(name: str) -> dict[str, list[float]]:
    good = [result["figures"] for result in _results(name) if "figures" in result]
    return {figure: [figures[figure] for figures in good] for figure in (good[0] if good else ())}


def _row(name: str, entry: Entry) -> str | None:
    own = _results(name)
    if not own:
        return None
    seconds = [result["cpu_seconds"] for result in own if "cpu_seconds" in result]
    failures = sum("failed" in result for result in own)
    shown = []
    for figure, form in entry.shows.items():
        if values := _values(name).get(figure):
            spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
            shown.append(f"{figure} {statistics.mean(values):{form}}{spread}")
    cells = [
        f"{name}<br>`{entry.command}`",
        str(len(own)) + (f", {failures} not finite" if failures else ""),
        "<br>".join(shown),
        entry.bar.words if entry.bar else "",
    ]
    cells += [_verdict(name, entry), f"{statistics.mean(seconds):.0f}" if seconds else "", entry.published]
    return "| " + " | ".join(cells) + " |"


def _verdict(name: str, entry: Entry) -> str:
    if entry.bar is None:
        return ""
    own, other = means(name), means(entry.bar.against) if entry.bar.against else None
    if not own:
        return "**missed**"
    if other is not None and not other:
        return f"waits for {entry.bar.against}"
    met = entry.bar.met(own) if other is None else entry.bar.met(own, other)
    return "met" if met else "**missed**"
