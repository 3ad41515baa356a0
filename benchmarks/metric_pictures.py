"""What each metric sees and misses: the pictures and tables of docs/evaluation.md, from the embedded sets.

    python benchmarks/metric_pictures.py     # some minutes on two cores; equal pictures every time

Real examples are of the train split, samples of the test split, which is another draw of the same distribution; then
they are spoilt in known ways. The pictures go to docs/images/evaluation, the tables as markdown to stdout.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image, ImageFilter

from kallima.evaluation import METRICS, Score, evaluate_images, evaluate_points
from kallima.evaluation.features.probe import Probe
from kallima.evaluation.fid import fid
from kallima.evaluation.fid_infinity import fid_infinity
from kallima.evaluation.kid import kid
from kallima.evaluation.memorisation import nearest_training
from kallima.evaluation.moments import FoldedMoments
from kallima.evaluation.sets import open_data

OUT = Path(__file__).parents[1] / "docs" / "images" / "evaluation"
REAL, SAMPLES, HELD_OUT = 4_000, 1_000, 1_000
METRICS_SHOWN = (
    *("fid", "kid", "sliced-wasserstein", "precision", "density", "recall", "coverage", "ndb"),
    *("ms-ssim", "inception-score", "birthday", "memorisation"),
)
POINT_METRICS = ("modes", "high-quality", "reverse-kl", "log-density", "energy-distance", "mmd", "wasserstein")
INK, SOFT, LINE = "#1f2328", "#6b7280", "#d7dbe0"
WORSE, BETTER = "#c2410c", "#2b6cb0"


@dataclass(frozen=True)
class Ruin:
    """One way to spoil samples: `levels` say how far, from none at all; `spoil` does it."""

    name: str
    colour: str
    marker: str
    levels: Sequence[float]
    told: str
    spoil: Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def blurred(images: np.ndarray, labels: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(x[..., 0]).filter(ImageFilter.GaussianBlur(radius))) for x in images])[
        ..., None
    ]


def noisy(images: np.ndarray, labels: np.ndarray, deviation: float) -> np.ndarray:
    noise = deviation * np.random.default_rng(1).standard_normal(images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def without_classes(images: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Leave out a share of the classes; others of those that stay take their places, so that none comes twice."""
    more, theirs = POOL
    classes = np.random.default_rng(2).permutation(np.unique(theirs))
    kept = more[np.isin(theirs, classes[round(share * len(classes)) :])]
    assert len(kept) >= len(images)
    return kept[: len(images)]


def collapsed(images: np.ndarray, labels: np.ndarray, different: float) -> np.ndarray:
    return images[np.arange(len(images)) % int(different)]


def copied(images: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Take a share of them from the training images instead."""
    count = round(share * len(images))
    return np.concatenate([TRAINING[:count], images[count:]])


RUINS = (
    Ruin("blur", "#0072b2", "o", (0, 0.3, 0.6, 0.9, 1.2), "a radius of {:g} pixels", blurred),
    Ruin("noise", "#e69f00", "s", (0, 5, 10, 20, 40), "a deviation of {:g} of 255", noisy),
    Ruin("dropped classes", "#009e73", "^", (0, 0.2, 0.4, 0.6, 0.75), "{:.0%} of the classes", without_classes),
    Ruin("collapse", "#d55e00", "D", (SAMPLES, 300, 100, 30, 10), "{:g} different images", collapsed),
    Ruin("memorisation", "#8c5fa8", "v", (0, 0.25, 0.5, 0.75, 1), "{:.0%} are training images", copied),
)
TRAINING = np.zeros(0)
POOL = (np.zeros(0), np.zeros(0))


def styled() -> None:
    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.edgecolor": LINE,
            "axes.labelcolor": SOFT,
            "text.color": INK,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "svg.hashsalt": "kallima",
        }
    )


def save(figure: plt.Figure, name: str) -> None:
    path = OUT / name
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    with Image.open(path) as picture:  # few colours: a third of the bytes
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)


def some(dataset: object, count: int, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(0).permutation(len(dataset))[skip : skip + count]  # type: ignore[arg-type]
    fields = dataset.read(chosen)  # type: ignore[attr-defined]
    return fields["image"].numpy(), fields["label"].numpy()


def strip(images: np.ndarray, count: int, gap: int = 2) -> np.ndarray:
    height, width = images.shape[1:3]
    row = np.full((height, count * (width + gap) - gap), 255, np.uint8)
    for place, image in enumerate(images[:count]):
        row[:, place * (width + gap) : place * (width + gap) + width] = image[..., 0]
    return row


def written(metric: str, value: float, digits: int = 3) -> str:
    if metric == "birthday":
        return f"{value:,.0f}" if value < 1e5 else "> 10⁵"  # no pair, or one, among all samples
    return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:,.0f}"


def judge_images() -> None:
    global TRAINING, POOL
    train, test = open_data("glyphs"), open_data("glyphs", split="test")
    real, _ = some(train, REAL)
    held_out, _ = some(test, HELD_OUT)
    TRAINING, POOL = real, some(test, len(test), HELD_OUT)
    samples, labels = (fields[:SAMPLES] for fields in POOL)
    probe = Probe(train)

    def judged(images: np.ndarray) -> dict[str, Score]:
        scores = evaluate_images(images, real, metrics=METRICS_SHOWN, features=probe, held_out=held_out)
        return {score.metric: score for score in scores}

    fresh = judged(samples)
    found = {}
    for ruin in RUINS:
        sets = [ruin.spoil(samples, labels, level) for level in ruin.levels[1:]]
        found[ruin.name] = [fresh, *(judged(images) for images in sets)]
        print(ruin.name, file=sys.stderr)
    picture_sets(real, samples, labels)
    picture_sweeps(fresh, found)
    picture_matrix(fresh, found)
    print_table(fresh, found)
    picture_neighbours(probe, real, samples)
    picture_counts(probe, train)


def picture_sets(real: np.ndarray, samples: np.ndarray, labels: np.ndarray) -> None:
    count = 14
    rows = [("real images", "", real), ("fresh samples", "another draw of the same", samples)]
    for ruin in RUINS:
        level = 5 if ruin.name == "collapse" else ruin.levels[3]  # few enough to show in so short a row
        rows.append((ruin.name, ruin.told.format(level), ruin.spoil(samples, labels, level)))
    figure, axes = plt.subplots(len(rows), 1, figsize=(8.2, 0.62 * len(rows)))
    figure.subplots_adjust(left=0.29, right=0.995, top=0.99, bottom=0.01, hspace=0.14)
    for axis, (name, told, images) in zip(axes, rows, strict=True):
        axis.imshow(strip(images, count), cmap="gray", vmin=0, vmax=255, aspect="equal", interpolation="nearest")
        axis.axis("off")
        axis.text(-0.012, 0.68 if told else 0.5, name, transform=axis.transAxes, ha="right", va="center", weight="bold")
        axis.text(-0.012, 0.27, told, transform=axis.transAxes, ha="right", va="center", size=7.5, color=SOFT)
    save(figure, "sets.png")


def picture_sweeps(fresh: dict[str, Score], found: dict[str, list[dict[str, Score]]]) -> None:
    columns = 4
    figure, axes = plt.subplots(len(METRICS_SHOWN) // columns, columns, figsize=(10, 7.4))
    figure.subplots_adjust(left=0.055, right=0.99, top=0.9, bottom=0.06, hspace=0.42, wspace=0.3)
    for axis, metric in zip(axes.flat, METRICS_SHOWN, strict=True):
        if (spread := fresh[metric].spread) is not None:
            value = fresh[metric].value
            axis.axhspan(value - 1.96 * spread, value + 1.96 * spread, color="#eceef1", zorder=0)
        for ruin in RUINS:
            values = [scores[metric].value for scores in found[ruin.name]]
            axis.plot(range(5), values, color=ruin.colour, marker=ruin.marker, markersize=4, linewidth=1.5)
        better = {"lower": "↓ lower is better", "higher": "↑ higher is better"}[METRICS[metric].direction]
        axis.set_title(metric, pad=14)
        axis.text(0, 1.03, better, transform=axis.transAxes, size=7.5, color=SOFT)
        axis.set_xticks(range(5), ["none", "", "", "", "most"])
        axis.grid(axis="y", color="#eef0f2")
        axis.set_axisbelow(True)
        if metric == "birthday":
            axis.set_yscale("log")
        if metric == "kid":
            axis.set_yscale("symlog", linthresh=0.1)
            axis.set_ylim(bottom=-0.1)
        if metric in ("fid", "sliced-wasserstein"):
            axis.set_yscale("log")
    lines = [
        plt.Line2D([], [], color=ruin.colour, marker=ruin.marker, markersize=5, linewidth=1.5, label=ruin.name)
        for ruin in RUINS
    ]
    figure.legend(handles=lines, loc="upper center", ncols=len(RUINS), frameon=False, bbox_to_anchor=(0.5, 1.0))
    save(figure, "sweeps.png")


def errors_away(fresh: Score, score: Score) -> float:
    """Return how many standard errors a score lies from that of fresh samples, negative where it looks better."""
    if fresh.metric == "birthday":  # without a duplicate or with one its error is a decade
        gap, error = np.log10(fresh.value) - np.log10(score.value), 0.5
    else:
        gap = score.value - fresh.value if fresh.direction == "lower" else fresh.value - score.value
        error = float(np.hypot(fresh.spread or 0, score.spread or 0)) or 1e-9
    return float(gap / error)


def picture_matrix(fresh: dict[str, Score], found: dict[str, list[dict[str, Score]]]) -> None:
    """Draw the third level of each ruin: how strongly each metric says so."""
    away = np.array([[errors_away(fresh[m], found[ruin.name][3][m]) for ruin in RUINS] for m in METRICS_SHOWN])
    shades = np.sign(away) * np.log10(1 + np.abs(away)).clip(max=2)
    shades[np.abs(away) < 1.96] = 0
    colours = LinearSegmentedColormap.from_list("", [BETTER, "#ffffff", WORSE])
    figure, axis = plt.subplots(figsize=(7.6, 5.6))
    figure.subplots_adjust(left=0.21, right=0.99, top=0.85, bottom=0.02)
    axis.imshow(shades, cmap=colours, vmin=-2, vmax=2, aspect="auto")
    for row, metric in enumerate(METRICS_SHOWN):
        for column, ruin in enumerate(RUINS):
            was, now = fresh[metric].value, found[ruin.name][3][metric].value
            dark = abs(shades[row, column]) > 1.3
            axis.text(
                *(column, row, f"{written(metric, was, 2)} → {written(metric, now, 2)}"),
                ha="center",
                va="center",
                size=8,
                color="white" if dark else INK,
            )
    axis.set_xticks(range(len(RUINS)), [ruin.name for ruin in RUINS], weight="bold", color=INK)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(METRICS_SHOWN)), METRICS_SHOWN, color=INK)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_xticks(np.arange(0.5, len(RUINS) - 1), minor=True)
    axis.set_yticks(np.arange(0.5, len(METRICS_SHOWN) - 1), minor=True)
    axis.grid(which="minor", color=LINE, linewidth=0.8)
    axis.tick_params(which="minor", length=0)
    figure.text(
        *(0.012, 0.965, "fresh samples → spoilt ones.  Orange: seen, worse; white: missed; blue: taken for better."),
        size=9,
        color=SOFT,
    )
    save(figure, "matrix.png")


def print_table(fresh: dict[str, Score], found: dict[str, list[dict[str, Score]]]) -> None:
    print("\n| metric | better | fresh | " + " | ".join(ruin.name for ruin in RUINS) + " |")
    print("|---" * (3 + len(RUINS)) + "|")
    for metric in METRICS_SHOWN:
        first = fresh[metric]
        error = "" if first.spread is None else f" ± {first.spread:.1g}"
        cells = []
        for ruin in RUINS:
            score = found[ruin.name][3][metric]
            seen = abs(errors_away(first, score)) >= 1.96
            cells.append(f"**{written(metric, score.value)}**" if seen else written(metric, score.value))
        print(f"| {metric} | {first.direction} | {written(metric, first.value)}{error} | {' | '.join(cells)} |")


def picture_neighbours(probe: Probe, real: np.ndarray, samples: np.ndarray) -> None:
    """Draw the nearest training images of the most suspect samples, of copies and of fresh ones."""
    rows, near = 5, 4
    truth = probe.features(torch.from_numpy(real))
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 4.0))
    figure.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.02, wspace=0.06)
    for axis, (name, images) in zip(
        axes, {"a tenth are copies": copied(samples, samples, 0.1), "fresh samples": samples}.items(), strict=True
    ):
        found = nearest_training(probe.features(torch.from_numpy(images)), truth, count=near, rows=rows)
        pictures = found.picture(images, real).numpy()
        sheet = np.full((rows * 36 - 4, 32 + 8 + near * 36 - 4), 255, np.uint8)
        for row in range(rows):
            for place in range(1 + near):
                left = 0 if place == 0 else 40 + (place - 1) * 36
                sheet[row * 36 : row * 36 + 32, left : left + 32] = pictures[row, place, ..., 0]
        axis.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.axis("off")
        axis.set_title(name, pad=20)
        axis.text(16, -5, "sample", ha="center", size=8, color=SOFT)
        axis.text(40 + (near * 36 - 4) / 2, -5, "its nearest training images", ha="center", size=8, color=SOFT)
    save(figure, "neighbours.png")


def picture_counts(probe: Probe, train: object) -> None:
    """Draw FID and KID of one distribution at many numbers of samples."""
    truth = probe.features(torch.from_numpy(some(train, 10_000)[0]))
    whole, labels = POOL
    sets = {
        "fresh samples": (whole, "#0072b2", "o"),
        "slightly blurred": (blurred(whole, labels, 0.6), "#d55e00", "D"),
    }
    counts = (100, 200, 400, 800, 1_600, 4_000)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.3))
    figure.subplots_adjust(left=0.07, right=0.99, top=0.87, bottom=0.16, wspace=0.22)
    moments = FoldedMoments.of(truth)
    print("\n| samples | " + " | ".join(f"FID, {name} | KID, {name}" for name in sets) + " |")
    print("|---" * (1 + 2 * len(sets)) + "|")
    told: dict[int, list[str]] = {count: [] for count in counts}
    for name, (images, colour, marker) in sets.items():
        features = probe.features(torch.from_numpy(images))
        measured = [
            [fid(moments, FoldedMoments.of(features[:count])) for count in counts],
            [kid(truth, features[:count]) for count in counts],
        ]
        for axis, found in zip(axes, measured, strict=True):
            errors = [1.96 * (each.spread or 0) for each in found]
            values = [each.value for each in found]
            axis.errorbar(
                counts,
                values,
                errors,
                color=colour,
                marker=marker,
                markersize=4,
                capsize=2,
                linewidth=1.5,
                label=name,
            )
            for count, each in zip(counts, found, strict=True):
                told[count].append(f"{each.value:.3g} ± {each.spread or 0:.1g}")
        limit = fid_infinity(truth, features, seed=0)
        axes[0].axhline(limit.value, color=colour, linestyle=":", linewidth=1.2)
        axes[0].text(1_000, limit.value - 0.3, f"FID∞ {limit.value:.2g}", va="top", color=colour, size=8.5)
    for axis, name in zip(axes, ("FID", "KID"), strict=True):
        axis.set_xscale("log")
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        axis.minorticks_off()
        axis.set_xlabel("samples")
        axis.set_title(name)
        axis.grid(axis="y", color="#eef0f2")
        axis.set_axisbelow(True)
    axes[0].set_ylim(bottom=-2.2)
    axes[0].legend(frameon=False)
    for count, cells in told.items():
        print(f"| {count:,} | {' | '.join(cells)} |")
    save(figure, "sample_counts.png")


def judge_points() -> None:
    from kallima.data.points import Ring

    ring = open_data("ring")
    source = ring.source
    assert isinstance(source, Ring)
    modes, deviation = source.modes, source.mode_deviation
    assert modes is not None
    assert deviation is not None
    rng = np.random.default_rng(5)
    count = 2_500

    def around(places: np.ndarray, width: float) -> np.ndarray:
        return modes[places] + width * deviation * rng.standard_normal((len(places), 2))

    any_mode = rng.integers(len(modes), size=count)
    between = around(any_mode, 1)
    bridge = rng.random(count) < 0.2
    share = rng.random((count, 1))
    between[bridge] = (share * modes[any_mode] + (1 - share) * modes[(any_mode + 1) % len(modes)])[bridge]
    uneven = rng.choice(len(modes), count, p=np.arange(1, len(modes) + 1) / (len(modes) * (len(modes) + 1) / 2))
    sets = {
        "fresh": around(any_mode, 1),
        "three modes lost": around(rng.integers(3, len(modes), size=count), 1),
        "uneven modes": around(uneven, 1),
        "too narrow": around(any_mode, 0.25),
        "too wide": around(any_mode, 3),
        "bridges": between,
    }
    figure, axes = plt.subplots(1, len(sets), figsize=(10.4, 3.35))
    figure.subplots_adjust(left=0.135, right=0.995, top=0.99, bottom=0.36, wspace=0.08)
    found = {
        name: {s.metric: s for s in evaluate_points(points.astype(np.float32), ring, metrics=POINT_METRICS)}
        for name, points in sets.items()
    }
    reach = 1.25 * np.abs(modes).max()
    for axis, (name, points) in zip(axes, sets.items(), strict=True):
        axis.scatter(*points[:1_200].T, s=1.2, color="#0072b2", linewidths=0)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(True)
        axis.set_title(name)
        for row, metric in enumerate(POINT_METRICS):
            score = found[name][metric]
            away = 0 if name == "fresh" else errors_away(found["fresh"][metric], score)
            axis.text(
                *(0.5, -0.12 - 0.125 * row, f"{score.value:.3g}"),
                transform=axis.transAxes,
                ha="center",
                va="center",
                size=8.5,
                color=WORSE if away > 1.96 else BETTER if away < -1.96 else INK,
                weight="bold" if abs(away) > 1.96 else "normal",
            )
            if axis is axes[0]:
                arrow = {"lower": "↓", "higher": "↑"}[score.direction]
                axis.text(
                    *(-0.08, -0.12 - 0.125 * row, f"{metric} {arrow}"),
                    transform=axis.transAxes,
                    ha="right",
                    va="center",
                    size=8.5,
                    color=SOFT,
                )
    figure.text(
        *(0.565, 0.03, "orange: seen, worse than fresh points;  black: missed;  blue: taken for better"),
        ha="center",
        size=8.5,
        color=SOFT,
    )
    save(figure, "points.png")
    print("\n| metric | better | " + " | ".join(sets) + " |")
    print("|---" * (2 + len(sets)) + "|")
    for metric in POINT_METRICS:
        values = " | ".join(f"{found[name][metric].value:.3g}" for name in sets)
        print(f"| {metric} | {found['fresh'][metric].direction} | {values} |")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    styled()
    judge_points()
    judge_images()
