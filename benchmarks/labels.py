"""Several labels of an image, told with and without an adversary that knows which go together.

    python benchmarks/labels.py choose             # λ, on a fifth of the training canvases
    python benchmarks/labels.py run [--on digit-canvases miml_scenes] [--backbones small resnet] [--seeds 0 1 2]
    python benchmarks/labels.py table

A run is `label-classifier` or `label-gan` from the same seed: the same first weights, the same order of images, as many
steps. Scores are `kallima evaluate`'s on the test split. Results are kept in benchmarks/results/labels.jsonl, tables go
between their markers in docs/labels.md. miml_scenes lies under $KALLIMA_DATA, else beside the checkout.
"""

import argparse
import csv
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image

import kallima
from kallima.data.dataset import Dataset, prepare
from kallima.data.digit_canvases import DigitCanvases
from kallima.data.opening import open_source
from kallima.data.view import View
from kallima.evaluation.multilabel import multilabel_f1

sys.path.insert(0, str(Path(__file__).parent / "reproduce"))
import places

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "labels.jsonl"
PAGE = ROOT / "docs" / "labels.md"
START, END = "<!-- {0}: written by benchmarks/labels.py -->\n", "<!-- end of {0} -->"
WIDTHS = {"small": 16, "vgg": 8, "resnet": 8}
STEPS = {"digit-canvases": 600, "miml_scenes": 400}
SIZE = 48
"""Pixels of the scenes' sides."""
WAYS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "cross-entropy": ("label-classifier", {}),
    "adversary": ("label-gan", {}),
}
CHOICES = [{"adversarial_weight": weight} for weight in (1.0, 3.0)]
HELD_OUT = 200
LECTURE = (
    *(("MS-COCO", "VGG-16", 56.0, 60.4), ("MS-COCO", "Inception", 62.4, 63.8), ("MS-COCO", "ResNet-101", 62.8, 64.0)),
    *(("MS-COCO", "ResNet-152", 63.3, 63.9), ("NUS-WIDE", "VGG-16", 33.9, 41.2)),
    *(("NUS-WIDE", "Inception", 53.5, 55.8), ("NUS-WIDE", "ResNet-101", 53.1, 55.4)),
    ("NUS-WIDE", "ResNet-152", 52.1, 54.1),
)
"""F1 without and with the adversary, as Tsai & Lee's table stands in the lecture."""
QUIET = {"log_every": 10_000, "sample_every": 0, "checkpoint_every": 100_000, "device": "cpu", "doctor": "off"}


def opened(name: str) -> dict[str, Any]:
    """Return what --data and its options say of a set."""
    if name == "digit-canvases":
        return {"data": name}
    return {"data": str(places.folder() / name / "miml_scenes96.tar.gz"), "size": SIZE}


def train_and_judge(recipe: str, options: Mapping[str, Any], of: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Train, score on a split, and say what the best threshold would have given."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        run = kallima.train(recipe, out=Path(folder) / "run", **of, **options, **QUIET)
        seconds = time.process_time() - start
        scores = kallima.evaluate(run, split=split, metrics=["micro-f1", "macro-f1"], device="cpu")
        system = kallima.load(run, device="cpu")
        view = View(size=of.get("size"))
        told, true = answers(system, prepare(open_source(of["data"], split=split), view))
    micro = [multilabel_f1(told > at, true).micro.value for at in np.arange(0.05, 1.0, 0.05)]
    return {
        **{score.metric: score.value for score in scores},
        **{f"{score.metric} spread": score.spread for score in scores},
        "best micro-f1": max(micro),
        "best threshold": round(0.05 * (1 + int(np.argmax(micro))), 2),
        "told": float((told > 0.5).sum(1).mean()),
        "true": float(true.sum(1).mean()),
        "seconds": round(seconds, 1),
    }


def answers(system: Any, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and the labels (N, K) of all examples."""
    read = dataset.read(np.arange(len(dataset)))
    images = read["image"].permute(0, 3, 1, 2).float() / 127.5 - 1
    told = torch.cat([system.tag(block) for block in images.split(250)])
    return told.numpy(), read["attributes"].numpy() > 0.5


def load() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def keep(about: Mapping[str, Any], recipe: str, options: Mapping[str, Any], of: Mapping[str, Any], split: str) -> None:
    """Train, judge and keep the result, unless it is there."""
    if any(about.items() <= row.items() for row in load()):
        return
    found = {**about, **train_and_judge(recipe, options, of, split)}
    where = {"kallima": kallima.__version__, "torch": torch.__version__, "machine": platform.machine()}
    with RESULTS.open("a") as file:
        file.write(json.dumps(found | where) + "\n")
    print(found, flush=True)


def choose(seeds: Sequence[int]) -> None:
    """Compare weights of the adversary where the test split is not touched."""
    with tempfile.TemporaryDirectory() as folder:
        parted(Path(folder))
        for seed in seeds:
            for arguments in ({}, *CHOICES):
                recipe = "label-gan" if arguments else "label-classifier"
                about = {"protocol": "choose", "seed": seed, "adversarial_weight": 0.0, **arguments}
                options = {
                    "backbone": "small",
                    "width": WIDTHS["small"],
                    "steps": STEPS["digit-canvases"],
                    "seed": seed,
                }
                keep(about, recipe, options | arguments, {"data": folder, "channels": 1}, "test")


def parted(folder: Path) -> None:
    """Write the training canvases as a folder whose "test" split is the last fifth of them."""
    source = DigitCanvases("train")
    names = source.fields["attributes"].names  # type: ignore[attr-defined]
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "split", *names])
        for index in range(len(source)):
            example = source.read(index)
            Image.fromarray(example["image"][:, :, 0]).save(folder / f"{index:04}.png")
            split = "train" if index < len(source) - HELD_OUT else "test"
            table.writerow([f"{index:04}.png", split, *example["attributes"].astype(int)])


def run(sets: Sequence[str], backbones: Sequence[str], ways: Sequence[str], seeds: Sequence[int]) -> None:
    for name in sets:
        for backbone in backbones:
            for seed in seeds:
                for way in ways:
                    recipe, arguments = WAYS[way]
                    options = {"backbone": backbone, "width": WIDTHS[backbone], "steps": STEPS[name], "seed": seed}
                    about = {"protocol": "run", "set": name, "backbone": backbone, "way": way, "seed": seed}
                    keep(about, recipe, options | dict(arguments), opened(name), "test")


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Write each section: ours, beside the lecture's, and how the weight was chosen."""
    lines = [
        "| data | backbone | way | micro F1 | macro F1 | labels told (true) | best threshold's micro F1 | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    runs = [row for row in rows if row["protocol"] == "run"]
    kinds = {(row["set"], row["backbone"], row["way"]) for row in runs}
    for name, backbone, way in sorted(kinds, key=lambda kind: (kind[0], kind[1] != "small", kind[1:])):
        own = [row for row in runs if (row["set"], row["backbone"], row["way"]) == (name, backbone, way)]
        cells = [over(own, key) for key in ("micro-f1", "macro-f1")]
        told, true = (statistics.mean(row[key] for row in own) for key in ("told", "true"))
        lines.append(
            f"| {name} | {backbone} | {way} | {' | '.join(cells)} | {told:.2f} ({true:.2f}) | "
            f"{over(own, 'best micro-f1')} | {len(own)} |"
        )
    lecture = ["| data | network | without | with the adversary | gain |", "|---|---|---|---|---|"]
    lecture += [f"| {s} | {n} | {a:.1f} | {b:.1f} | {b - a:+.1f} |" for s, n, a, b in LECTURE]
    chosen = [
        "| λ | micro F1 | macro F1 | labels told (true) | best threshold's micro F1 |",
        "|---|---|---|---|---|",
    ]
    for row in (row for row in rows if row["protocol"] == "choose"):
        values = " | ".join(f"{100 * row[key]:.1f}" for key in ("micro-f1", "macro-f1"))
        told = f"{row['told']:.2f} ({row['true']:.2f})"
        chosen.append(f"| {row['adversarial_weight']:g} | {values} | {told} | {100 * row['best micro-f1']:.1f} |")
    return {"labels": "\n".join(lines), "lecture": "\n".join(lecture), "choice": "\n".join(chosen)}


def over(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Write a mean over seeds in percent, and between which they lie."""
    values = [100 * row[key] for row in rows]
    between = f" ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{between}"


def write(sections: Mapping[str, str]) -> None:
    page = PAGE.read_text()
    for title, text in sections.items():
        start, end = START.format(title), END.format(title)
        between = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not between.search(page):
            raise SystemExit(f"{PAGE} has no section '{title}'")
        page = between.sub(lambda _, made=f"{start}\n{text}\n\n{end}": made, page)
    PAGE.write_text(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = commands.add_parser("choose")
    ran = commands.add_parser("run")
    ran.add_argument("--on", nargs="+", choices=STEPS, default=list(STEPS))
    ran.add_argument("--backbones", nargs="+", choices=WIDTHS, default=["small", "resnet"])
    ran.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    for each, seeds in ((chosen, [0]), (ran, [0, 1, 2])):
        each.add_argument("--seeds", nargs="+", type=int, default=seeds)
    shown = commands.add_parser("table")
    shown.add_argument("--print", action="store_true", help="on the terminal, not into docs/labels.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "choose":
        choose(given.seeds)
    elif given.command == "run":
        run(given.on, given.backbones, given.ways, given.seeds)
    elif given.print:
        print("\n\n".join(tables(load()).values()))
    else:
        write(tables(load()))


if __name__ == "__main__":
    main()
