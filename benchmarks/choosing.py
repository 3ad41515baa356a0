"""What to choose: classic and modern systems on the same small images, each for the same processor time.

python benchmarks/choosing.py run --only sngan flow-matching --on anime --jobs 2
python benchmarks/choosing.py table               # writes the table and the figure of docs/choosing.md

Every system trains at 32×32 for SECONDS of one core's time (its steps are set by timing a few of them), and is judged
by 2,000 samples against the training images: the Fréchet distance of a small classifier's features, as s, which is 0
for the held-out images and 1 for noise, and coverage. Sampling is timed for 64 images.
"""

import argparse
import csv
import io
import os
import re
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "reproduce"))

import numpy as np
import pixels
import places
from PIL import Image as Pillow

import results

SECONDS, SIDE, SAMPLES, TIMED = 180, 32, 2_000, 64
PLACES = 8  # of a training, at which steps are timed
QUIET: dict[str, Any] = {"sample_every": 0, "checkpoint_every": 10**6, "doctor": "off", "device": "cpu"}
BATCH = {"batch_size": 32}
# Few but costly steps are averaged over a hundred of them; a thousand would be all the training.
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "dcgan": ("dcgan", {"width": 32}),
    "wgan-gp": ("wgan-gp", {"width": 32}),
    "sngan": ("sngan", {"width": 32}),
    "sngan + DiffAugment": ("sngan", {"width": 32, "augment": "diffaugment"}),
    "progressive": ("progressive", {"width": 32, "average": 0.99}),
    "stylegan2": ("stylegan2", {"width": 16}),
    "r3gan": ("r3gan", {"width": 32, "average": 0.99}),
    "flow-matching": ("flow-matching", {"width": 24}),
}
PAGE = results.ROOT / "docs" / "choosing.md"
START, END = "<!-- choosing: written by benchmarks/choosing.py -->\n", "<!-- end of choosing -->"
FIGURE = results.ROOT / "docs" / "images" / "choosing.png"


def anime() -> Path:
    """The anime faces, of which the class is the colour of the hair."""
    with (places.folder() / "anime_faces" / "tags.csv").open() as file:
        about = {row["file"]: (row["split"], row["hair"]) for row in csv.DictReader(file)}
    return _kept("anime", places.folder() / "anime_faces" / "anime_faces64.tar.gz", about)


def flowers() -> Path:
    """The flowers, of 102 kinds."""
    with (places.folder() / "flowers64" / "labels.csv").open() as file:
        about = {row["file"]: (row["split"], row["class_1_to_102"]) for row in csv.DictReader(file)}
    return _kept("flowers", places.folder() / "flowers64" / "flowers64.tar.gz", about)


def cifar() -> Path:
    """CIFAR-10, 10,000 images of it."""
    path = places.folder() / "cifar10" / "cifar10_jpeg.tar.gz"
    with tarfile.open(path) as archive:
        about = {name: tuple(name.split("/")[-3:-1]) for name in archive.getnames() if name.endswith(".jpg")}
    return _kept("cifar", path, about)  # type: ignore[arg-type]


FIRST = "anime"
"""The set that every system is tried on, and pictured on."""
SETS = {"anime": anime, "flowers": flowers, "cifar": cifar}


def train_and_judge(name: str, where: str, seed: int) -> dict[str, Any]:
    """Train a system on a set for its time; return its figures."""
    import torch

    import kallima

    torch.set_num_threads(1)
    recipe, options = SYSTEMS[name]
    data = SETS[where]()
    told: dict[str, Any] = {"system": name, "set": where, "seed": seed, "seconds": SECONDS, "options": options}
    steps = _steps(recipe, data, options)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        try:
            run = kallima.train(
                recipe, data=data, seed=seed, steps=steps, out=Path(folder) / "run", **QUIET, **BATCH, **options
            )
        except kallima.TrainingError as error:
            return told | {"failed": str(error)}
        trained = time.process_time() - start
        system: Any = kallima.load(run, device="cpu")
        start = time.process_time()
        system.sample(TIMED, rng=torch.Generator().manual_seed(0))
        sampled = (time.process_time() - start) / TIMED
        scores = kallima.evaluate(run, metrics=["fid", "coverage"], features="probe", count=SAMPLES, device="cpu")
        values = {score.metric: score.value for score in scores}
        if where == FIRST:
            _picture(kallima.sample(run, 16, device="cpu"), _file(name, where))
    parameters = sum(weight.numel() for weight in system.parameters())
    figures = values | {"parameters": parameters, "trained": trained, "sampled": sampled, "steps": steps}
    return told | figures | {"features": scores[0].extractor_hash}


def _steps(recipe: str, data: Path, options: dict[str, Any]) -> int:
    """Return how many steps take SECONDS, by the time of a few."""
    from kallima.job import Job
    from kallima.training.distribution import World
    from kallima.training.precision import choose_device

    job = Job.resolve(recipe, data, {**QUIET, **BATCH, **options, "steps": 1_000})
    trainer = job.trainer(job.dataset(), choose_device("cpu"), World())
    times = []
    for place in range(PLACES):  # all along the training: a step may come to cost more, as a game grows
        trainer.step = place * job.steps // PLACES
        for warm in (True, False, False):
            start = time.process_time()
            trainer.play()
            times += [] if warm else [time.process_time() - start]
    for stream in trainer.streams.values():
        stream.close()
    return max(50, round(SECONDS / statistics.mean(times)))


def ends(where: str) -> dict[str, float]:
    """Return the distance of the held-out images and of noise from the training images, by the same features."""
    import torch

    from kallima.data.dataset import prepare
    from kallima.data.opening import open_source
    from kallima.data.view import View
    from kallima.evaluation.features.probe import Probe
    from kallima.evaluation.fid import fid
    from kallima.evaluation.moments import FoldedMoments

    path = SETS[where]()
    probe = Probe(prepare(open_source(path), View()))
    with np.load(path) as arrays:
        train, test = (torch.from_numpy(arrays[f"x_{split}"]) for split in ("train", "test"))
    truth = FoldedMoments.of(probe.features(train))
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SAMPLES, *train.shape[1:]), dtype=np.uint8))
    found = {"held out": fid(truth, probe.features(test)).value, "noise": fid(truth, probe.features(noise)).value}
    return found | {"accuracy": probe.accuracy}


def run(names: list[str], sets: list[str], seeds: int, jobs: int) -> None:
    """Run what is not there yet."""
    known = {(r.get("system"), r["set"], r.get("seed")) for r in results.load("choosing")}
    for where in sets:
        if (None, where, None) not in known:
            results.keep("choosing", {"set": where, **ends(where)})
    wanted = [(name, where, seed) for seed in range(seeds) for where in sets for name in names]
    results.work_through("choosing", train_and_judge, [each for each in wanted if each not in known], jobs)


def table() -> None:
    """Write the table and the figure of the page."""
    found = results.load("choosing")
    scale = {r["set"]: r for r in found if "noise" in r}
    rows = [r for r in found if "system" in r]
    sets = [name for name in SETS if any(r["set"] == name for r in rows)]
    head = ["system", "weights", *(f"s, {name}" for name in sets), *(f"coverage, {name}" for name in sets)]
    head += ["steps", "training, s", "sampling, ms an image"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    shown: dict[str, dict[str, float]] = {}
    for name, (_, options) in SYSTEMS.items():
        own = {r["set"]: r for r in rows if r["system"] == name and "fid" in r}
        if not own:
            continue
        shown[name] = {where: _placed(r["fid"], scale[where]) for where, r in own.items()}
        flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in {**options, **BATCH}.items())
        cells = [f"`{SYSTEMS[name][0]}` {flags}", f"{next(iter(own.values()))['parameters'] / 1e6:.1f} M"]
        cells += [f"{shown[name][where]:.3f}" if where in own else "" for where in sets]
        cells += [f"{own[where]['coverage']:.2f}" if where in own else "" for where in sets]
        cells.append(" / ".join(f"{own[where]['steps']:,}" for where in sets if where in own))
        cells.append(f"{statistics.mean(r['trained'] for r in own.values()):.0f}")
        cells.append(f"{1000 * statistics.mean(r['sampled'] for r in own.values()):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    probes = ", ".join(f"{where} {scale[where]['accuracy']:.0%}" for where in sets)
    lines.append(f"\nThe classifiers are right on: {probes} of held-out training images.")
    lines += [f"\nSamples on `{FIRST}`, not chosen:\n", "| system | |", "|---|---|"]
    lines += [f"| {name} | ![{name}](images/choosing/{_file(name, FIRST)}) |" for name in shown if FIRST in shown[name]]
    text, between = PAGE.read_text(), re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    PAGE.write_text(between.sub(lambda _: f"{START}\n" + "\n".join(lines) + f"\n\n{END}", text))
    _draw(shown, {name: [r["sampled"] for r in rows if r["system"] == name and "fid" in r] for name in shown})


def _file(name: str, where: str) -> str:
    return f"{'-'.join(name.replace('+', ' ').split())}-{where}.png"


def _placed(distance: float, scale: dict[str, float]) -> float:
    return (distance - scale["held out"]) / (scale["noise"] - scale["held out"])


def _draw(shown: dict[str, dict[str, float]], sampled: dict[str, list[float]]) -> None:
    """Draw the scores on each set, and the score beside what a sample costs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2), layout="constrained")
    order = sorted((name for name in shown if FIRST in shown[name]), key=lambda name: shown[name][FIRST])
    for place, where in enumerate(SETS):
        values = [shown[name].get(where, 0.0) for name in order]
        if not any(values):
            continue
        left.bar([i + 0.27 * (place - 1) for i in range(len(order))], values, 0.25, label=where)
    left.set_xticks(range(len(order)), order, rotation=35, ha="right")
    left.set_ylabel("s: 0 held-out images, 1 noise")
    left.legend(frameon=False)
    places = {name: (1000 * statistics.mean(sampled[name]), shown[name][FIRST]) for name in order}
    for name, (x, y) in places.items():
        taken = any(x < other < 2.5 * x and abs(y - height) < 0.02 for other, height in places.values())
        side, offset = ("right", (-5, 3)) if taken else ("left", (5, 3))
        right.plot(x, y, "o", color="tab:blue")
        right.annotate(name, (x, y), textcoords="offset points", xytext=offset, ha=side, fontsize=8)
    right.set_xscale("log")
    right.set_xlabel("milliseconds an image, one core")
    right.set_ylabel(f"s, {FIRST}")
    right.margins(x=0.3, y=0.1)
    figure.savefig(FIGURE, dpi=110)
    pyplot.close(figure)


def _picture(images: np.ndarray, name: str) -> None:
    from kallima.reporting.grid import image_grid, save_picture

    path = results.ROOT / "docs" / "images" / "choosing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(path, image_grid(images, columns=8, scale=1))


def _kept(name: str, archive: Path, about: dict[str, tuple[str, str]]) -> Path:
    path = places.made() / f"choosing-{name}.npz"
    if path.is_file():
        return path
    columns: dict[str, list[Any]] = {f"{letter}_{split}": [] for letter in "xy" for split in ("train", "test")}
    for member, image in _images(archive):
        if member in about:
            split, kind = about[member]
            columns[f"x_{split}"].append(image)
            columns[f"y_{split}"].append(kind)
    return pixels.keep(f"choosing-{name}", **{key: np.array(values) for key, values in columns.items()})


def _images(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)) is not None:
                with Pillow.open(io.BytesIO(content.read())) as picture:
                    small = picture.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.LANCZOS)
                    yield member.name, np.asarray(small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--only", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--on", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.what == "run":
        run(options.only, options.on, options.seeds, options.jobs)
    table()


if __name__ == "__main__":
    main()
