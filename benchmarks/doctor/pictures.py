"""The pictures of docs/doctor.md: of each disease the samples at the end, beside the data, and the curves that show it.

They are drawn from the runs of the benchmark, two of them from logs made here as other programs would write them.
"""

import csv
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from cases import CASES
from trial import MODES, replay

import kallima
from kallima.diagnosis.reading import read_log
from kallima.evaluation.sets import open_data
from results import ROOT, folder_of

OUT = ROOT / "docs" / "images" / "doctor"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"

SHOWN: dict[str, tuple[str, tuple[str, ...], str]] = {
    "non-finite values": (
        "non-finite values: simultaneous SGD",
        ("discriminator/gradient_norm", "generator/gradient_norm"),
        "linear",
    ),
    "discriminator wins": ("discriminator wins: its rate 100 times too large", ("notes/accuracy",), "linear"),
    "discriminator blind": (
        "discriminator blind: noise drowns all",
        ("notes/accuracy", "samples/energy"),
        "linear",
    ),
    "mode collapse": (
        "mode collapse: a generator 500 times as fast",
        ("samples/diversity", "samples/forgotten"),
        "linear",
    ),
    "latent ignored": (
        "latent ignored: the class alone is asked for",
        ("samples/within", "samples/diversity"),
        "linear",
    ),
    "mode dropping": ("mode dropping: large steps", ("samples/forgotten", "samples/stray"), "linear"),
    "oscillation": ("oscillation: simultaneous steps, momentum", ("samples/centre_1", "samples/centre_2"), "linear"),
    "divergence after a best point": (
        "divergence after a best point: rates that rise too far, on images",
        ("score/fid",),
        "log",
    ),
    "discriminator overfitting": (
        "discriminator overfitting: 100 examples",
        ("samples/held_out_gap", "samples/nearest"),
        "linear",
    ),
    "exploding gradients": (
        "exploding gradients: a critic without bounds",
        ("discriminator/gradient_norm", "generator/gradient_norm"),
        "log",
    ),
    "vanishing gradients": (
        "vanishing gradients: steps that kill its units",
        ("generator/gradient_norm", "discriminator/gradient_norm"),
        "symlog",
    ),
    "dead units": (
        "dead units: large steps of dense networks",
        ("samples/dead_units", "samples/saturated"),
        "linear",
    ),
    "learning has stopped": ("learning has stopped: hardly any steps", ("samples/energy",), "linear"),
    "checkerboard artefacts": ("checkerboard artefacts: a blind discriminator", ("samples/checkerboard",), "linear"),
}
"""Of each symptom the case, the series that are drawn, and the scale of their axis."""


def draw_all() -> None:
    """Draw every disease whose run is there, and the two logs of other programs."""
    OUT.mkdir(parents=True, exist_ok=True)
    for symptom in SHOWN:
        path = draw(symptom)
        print(path)
    draw_logs()


def draw(symptom: str) -> Path:
    """Draw one disease: data and samples on the left, its curves and the step since which it is told on the right."""
    name, series, scale = SHOWN[symptom]
    case = next(case for case in CASES if case.name == name)
    folder = folder_of(name) / "run"
    found, _ = replay(folder / "events.jsonl")
    log = read_log(folder / "events.jsonl")
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), width_ratios=(1, 1.8), layout="constrained")
    _draw_samples(axes[0], folder, case.data)
    for colour, one in zip((BLUE, ORANGE), series, strict=False):
        drawn = log.series(one)
        axes[1].plot(*drawn, color=colour, label=one, marker="o" if len(drawn) < 30 else "", markersize=3)
    since = next((finding.since for finding in found if finding.symptom == symptom), None)
    if since is not None:
        axes[1].axvline(since, color=GREY, linestyle="--", label=f"since step {since:,}")
    axes[1].set_yscale(scale, **({"linthresh": 1e-3} if scale == "symlog" else {}))
    if scale != "log" and "samples/centre_1" not in series:
        highest = max(log.series(one).values.max() for one in series)
        axes[1].set_ylim(0, highest * (10 if scale == "symlog" else 1.1))
    axes[1].set_xlabel("step")
    axes[1].legend(fontsize=8)
    axes[1].grid(alpha=0.3)
    path = OUT / (symptom.replace(" ", "_").replace("-", "_") + ".png")
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path


def _draw_samples(axis: Any, folder: Path, data: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    if "Conditional" in kallima.Run(folder).manifest["capabilities"]:
        samples = kallima.sample(folder, 6, condition="label=*", device="cpu")  # a row a class
    else:
        count = 500 if data in MODES or data in ("gaussian", "two-moons") else 36
        samples = kallima.sample(folder, count, device="cpu")
    if samples.ndim == 4:
        rows = samples[:36, ..., 0].reshape(6, 6, *samples.shape[1:3]).swapaxes(1, 2)
        axis.imshow(rows.reshape(6 * samples.shape[1], -1), cmap="gray", vmin=0, vmax=255)
        axis.set_title("samples", fontsize=9)
        return
    real = open_data(data).read(np.arange(500))["points"].numpy()
    field = kallima.Run(folder).manifest["spec"]["points"]
    real = real * (field.get("scale") or 1) + np.asarray(field.get("offset") or 0)
    axis.scatter(*real.T, s=4, color=GREY, label="data")
    axis.scatter(*samples.T, s=4, color=ORANGE, label="samples")
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    axis.set_aspect("equal", adjustable="datalim")


LOGS = {"dcgan": (49.0, 137.0, 40_000), "lsgan": (67.0, 331.0, 25_000)}
"""FID at its best and at the end, and the step of the best, of two trainings that went on unwatched."""


def make_log(name: str, path: Path) -> None:
    """Write a log of the shape of a published one: FID falls to its best, then rises to the end, with noise."""
    best, last, at = LOGS[name]
    rng = np.random.default_rng(len(name))
    steps = np.arange(2_000, 100_001, 2_000)
    fall = best + 180 * np.exp(-steps / (at / 5))
    rise = np.clip((steps - at) / (100_000 - at), 0, None) ** 1.5 * (last - best)
    fid = (fall + rise) * np.exp(0.03 * rng.standard_normal(len(steps)))
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "d_loss", "g_loss", "fid"])
        for step, value in zip(steps, fid, strict=True):
            noise = rng.standard_normal(2)
            rows.writerow([step, round(0.6 + 0.05 * noise[0], 4), round(2.5 + 0.3 * noise[1], 4), round(value, 1)])


def draw_logs() -> None:
    """Draw both logs with what the doctor says of them, and print that."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, name in zip(axes, LOGS, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.csv"
            make_log(name, path)
            found = kallima.diagnose(path)
            axis.plot(*read_log(path).series("fid"), color=BLUE, label="fid")
        for finding in found:
            print(f"{name}: {finding}")
            axis.axvline(finding.since, color=GREY, linestyle="--", label=f"since step {finding.since:,}")
        axis.set_title(f"in the shape of one of {name.upper()}", fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(0)
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(OUT / "logs.png", dpi=100)
    plt.close(figure)
