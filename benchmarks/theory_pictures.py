"""The pictures and figures of docs/theory.md, from the recipes of the family `theory`.

    python benchmarks/theory_pictures.py     # about two minutes on two cores; equal pictures every time

Each picture is made of frames that the run's own report.html shows. They go to docs/images/theory, the figures as
markdown to stdout.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import kallima
from kallima.data.spec import Points, Spec
from kallima.recipe import get_recipe

OUT = Path(__file__).parents[1] / "docs" / "images" / "theory"


@dataclass(frozen=True)
class Shown:
    """A run, and which of its frames the picture shows; `crop` keeps that share of the frame's width."""

    recipe: str
    data: str
    every: int
    frames: Sequence[int]
    crop: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


PICTURES: dict[str, list[Shown]] = {
    "learning_process.png": [Shown("learning-process", "mixture", 50, (50, 250, 2_000))],
    "mode_collapse.png": [Shown("learning-process", "mixture", 50, (2_000,), options={"seed": 3})],
    "learning_process_plane.png": [
        Shown("learning-process", "gaussian", 50, (50, 500, 2_000), options={"learning_rate": 2e-3})
    ],
    "overlap.png": [Shown("overlap", "segment", 10, (10, 60, 200))],
    "kl_directions.png": [Shown("kl-directions", "mixture", 25, (25, 100, 500))],
    "bilinear_game.png": [
        Shown("bilinear-game", "dirac", 100, (500,), 0.5, options)
        for options in ({}, {"dynamics": "alternating"}, {"dynamics": "optimistic"}, {"consensus": 0.5})
    ],
    "dirac_gan.png": [Shown("dirac-gan", "dirac", 100, (300,), options=options) for options in ({}, {"r1": 1.0})],
}
DOWNWARD = {"learning_process.png", "overlap.png", "kl_directions.png", "dirac_gan.png"}


def train(shown: Shown, folder: Path) -> Path:
    options = {"sample_every": shown.every, "checkpoint_every": 10_000, "doctor": "off", **shown.options}
    return kallima.train(shown.recipe, data=shown.data, out=folder, **options).path


def frames(shown: Shown, run: Path) -> list[Image.Image]:
    found = []
    for step in shown.frames:
        with Image.open(run / "samples" / f"{step:08d}.png") as picture:
            found.append(picture.convert("RGB").crop((0, 0, round(shown.crop * picture.width), picture.height)))
    return found


def joined(pictures: Sequence[Image.Image], *, downward: bool) -> Image.Image:
    widths, heights = [p.width for p in pictures], [p.height for p in pictures]
    size = (max(widths), sum(heights)) if downward else (sum(widths), max(heights))
    sheet, place = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        sheet.paste(picture, (0, place) if downward else (place, 0))
        place += picture.height if downward else picture.width
    return sheet


def save(picture: Image.Image, name: str) -> None:
    path = OUT / name
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)


def at_the_end(shown: Shown, run: Path) -> str:
    """Say where both players of a game on one point ended, else what the notes say of the last steps."""
    if shown.data == "dirac":
        system: Any = kallima.load(run)
        return f"distance {system.trail.path()[-1].norm():.4g}"
    values: dict[str, float] = {}
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["name"].startswith("notes/"):
            values[event["name"][6:]] = event["value"]
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def eigenvalues() -> None:
    print("\n| game | by differentiation | theory | largest difference |\n|---|---|---|---|")
    spec = Spec({"points": Points(1)})
    for name, options in (
        ("dirac-gan", {}),
        ("dirac-gan", {"r1": 0.3}),
        ("dirac-gan", {"r1": 1.0}),
        ("dirac-gan", {"r1": 2.0}),
        ("dirac-gan", {"consensus": 1.0}),
        ("bilinear-game", {}),
        ("bilinear-game", {"consensus": 0.5}),
    ):
        system = get_recipe(name).build(spec, **options)
        found, expected = np.sort_complex(system.eigenvalues()), np.sort_complex(system.theory())
        told = " ".join([name, *(f"--{key} {value:g}" for key, value in options.items())])
        gap = np.abs(found - expected).max()
        print(f"| `{told}` | {written(found)} | {written(expected)} | {gap:.0e} |")


def written(values: np.ndarray) -> str:
    return ", ".join(f"{value.real + 0.0:.4f}{value.imag:+.4f}i" for value in values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="names of pictures; by default all")
    only = parser.parse_args().only
    wanted = {name: runs for name, runs in PICTURES.items() if not only or name in only}
    OUT.mkdir(parents=True, exist_ok=True)
    print("| run | at the end |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, runs in wanted.items():
            pictures = []
            for number, shown in enumerate(runs):
                run = train(shown, Path(folder) / f"{name}-{number}")
                pictures += frames(shown, run)
                told = " ".join(f"--{key} {value}" for key, value in shown.options.items())
                print(f"| `{shown.recipe} --data {shown.data} {told}` | {at_the_end(shown, run)} |")
            save(joined(pictures, downward=name in DOWNWARD), name)
    eigenvalues()
