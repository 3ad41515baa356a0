"""What is pictured of a system while it trains: its samples, and on points its judgement and what theory says of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kallima.data.source import PointSource
from kallima.data.spec import Audio, Label, Points
from kallima.figures import Curve, Dots, Field, Figure, Level, LogDensity, Mark, Panel
from kallima.files import write_whole

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from kallima.data.dataset import Dataset
    from kallima.system import Completes, Judges, KnowsItsBest, System

PICTURED = {"image": 64, "points": 2_500, "video": 8, "audio": 8}  # how many samples a picture holds
SLOW = 16  # of those that are made piece by piece
ACROSS = 10  # samples of each condition
CAPTIONS = 8  # examples whose captions or sounds are tried
WRITTEN = 16  # texts, those of all conditions together
GRID = 96  # fields are judged at so many points a side
BINS = 64
HEADROOM = 2.2  # times the data's highest density: what is made of half of its modes is twice as high there
MARGIN = 0.15  # of the data's extent, on each side


def show_samples(system: "System", dataset: "Dataset", step: int, folder: Path, *, seed: int) -> None:
    """Write into `folder` what the system shows after `step` steps: NNNNNNNN.png a picture, .txt texts, .wav sounds."""
    from kallima.reporting.export import sheet
    from kallima.reporting.grid import save_picture
    from kallima.reporting.sound import wave_file
    from kallima.sampling.drawing import draw
    from kallima.system import Samples

    path, field = folder / f"{step:08d}", dataset.spec.get("audio")
    if dataset.spec.medium == "audio" and isinstance(field, Audio) and isinstance(system, Samples):
        assert field.rate is not None  # of a system's own sounds it is known
        sounds = draw(system, PICTURED["audio"], seed=seed)
        picture: Image.Image | None = sheet(sounds, rate=field.rate)
        write_whole(path.with_suffix(".wav"), wave_file(list(sounds), field.rate))
    else:
        picture = picture_of(system, dataset, step, seed=seed)
    if picture is not None:
        save_picture(path.with_suffix(".png"), picture)
    written = texts_of(system, seed=seed)
    if written is not None:
        write_whole(path.with_suffix(".txt"), written.encode())


def picture_of(system: "System", dataset: "Dataset", step: int, *, seed: int) -> "Image.Image | None":
    """Draw the system as it stands after `step` steps; None where it has nothing to show.

    What a system illustrates itself comes first; then, on points of one or two dimensions, samples with what its
    discriminator thinks of every place; then samples alone, the same latents each time, with a row a condition; of what
    draws nothing but goes on from beginnings, what it makes of those of the data.
    """
    from kallima.reporting.export import sheet
    from kallima.reporting.figure import draw_figure
    from kallima.reporting.grid import image_grid
    from kallima.sampling.drawing import draw, draw_rows
    from kallima.system import Completes, Conditional, Illustrates, Judges, Samples

    density = _density(dataset)
    if isinstance(system, Illustrates):
        return draw_figure(system.illustrate(density), f"step {step:,}")
    medium = dataset.spec.medium
    if not isinstance(system, Samples):
        return _of_completions(system, dataset, seed) if medium == "video" and isinstance(system, Completes) else None
    if medium == "text":
        return None
    if medium == "video":
        return sheet(draw(system, PICTURED["video"], seed=seed))
    if medium == "image":
        if isinstance(system, Completes) and not isinstance(system, Conditional):
            return sheet(draw(system, SLOW, seed=seed))
        if isinstance(system, Conditional) and system.conditions.senses:
            return _of_captions(system, dataset, seed)
        if isinstance(system, Conditional):
            return image_grid(draw_rows(system, ACROSS, system.conditions.shown(), seed=seed), columns=ACROSS)
        return sheet(draw(system, PICTURED["image"], seed=seed))
    samples, reference = draw(system, PICTURED["points"], seed=seed), _reference(dataset)
    if isinstance(system, Judges) and samples.shape[1] <= 2:
        show = on_a_line if samples.shape[1] == 1 else in_the_plane
        return draw_figure(show(system, samples, reference, density), f"step {step:,}")
    return sheet(samples, reference)


def _of_captions(system: "System", dataset: "Dataset", seed: int) -> "Image.Image":
    """Draw some of the data's images, and beside each what the system makes of its caption or its sound.

    A row is named by the caption, or by the class of what sounds, where that is known.
    """
    import torch

    from kallima.data.batch import Batch, as_batch
    from kallima.reporting.rows import Row, draw_rows
    from kallima.sampling.drawing import to_units
    from kallima.system import Conditional, Samples

    assert isinstance(system, Conditional)
    assert isinstance(system, Samples)
    chosen = np.arange(min(CAPTIONS, len(dataset)))
    batch, label = as_batch(dataset.read(chosen)), dataset.spec.get("label")
    if "text" in system.conditions.senses:
        names = dataset.texts(chosen)
    else:
        names = [label.classes[place] for place in batch["label"]] if isinstance(label, Label) else [""] * len(chosen)
    told = system.conditions.vectors(Batch({name: value.to(system.device) for name, value in batch.fields.items()}))
    rng = torch.Generator().manual_seed(seed)
    made = system.sample((ACROSS - 1) * len(told), condition=told.repeat_interleave(ACROSS - 1, 0), rng=rng)
    made = made.unflatten(0, (len(told), ACROSS - 1))
    rows = torch.cat([batch["image"][:, None].to(made), made], 1)
    return draw_rows([Row(name, to_units(row, dataset.spec)) for name, row in zip(names, rows, strict=True)])


def _of_completions(system: "Completes", dataset: "Dataset", seed: int) -> "Image.Image":
    """Draw some of the data's videos, and below each what the system makes of its first half."""
    import torch

    from kallima.data.batch import Batch, as_batch
    from kallima.reporting.export import sheet
    from kallima.sampling.drawing import places_of, to_units

    device = system.device  # type: ignore[attr-defined]  # every system has one
    batch = as_batch(dataset.read(np.arange(min(PICTURED["video"] // 2, len(dataset)))))
    given = batch["video"].to(device)
    known = torch.zeros(len(given), *places_of(dataset.spec["video"]), dtype=torch.bool, device=device)
    known[:, : given.shape[1] // 2] = True
    conditions = getattr(system, "conditions", None)
    told = None if conditions is None else conditions.vectors(Batch({n: v.to(device) for n, v in batch.fields.items()}))
    made = system.complete(given, known, condition=told, rng=torch.Generator().manual_seed(seed))
    pairs = torch.stack([given, made], 1).flatten(0, 1)
    return sheet(to_units(pairs, dataset.spec))


def texts_of(system: "System", *, seed: int) -> str | None:
    """Let the system write some texts, the same draws each time: one a line, after what was asked for and a tab.

    None where it makes no texts.
    """
    from kallima.sampling.drawing import draw, draw_rows
    from kallima.system import Conditional, Samples

    if not isinstance(system, Samples) or system.spec.medium != "text":
        return None
    if not isinstance(system, Conditional):
        return "".join(f"{text}\n" for text in draw(system, WRITTEN, seed=seed))
    rows = system.conditions.shown(most=4)
    each = WRITTEN // len(rows)
    asked = [system.conditions.say(row) for row in rows for _ in range(each)]
    texts = draw_rows(system, each, rows, seed=seed)
    return "".join(f"{asked_for}\t{text}\n" for asked_for, text in zip(asked, texts, strict=True))


def on_a_line(system: "Judges", samples: np.ndarray, reference: np.ndarray, density: LogDensity | None) -> Figure:
    """Show the densities of the data and of the model, and below D(x), with D*(x) where it is known.

    `samples` and `reference` are (N, 1), in the data's own units.
    """
    from kallima.system import KnowsItsBest

    low, high = _range(reference[:, 0])
    x = np.linspace(low, high, 512)
    data = _histogram(reference[:, 0], low, high, x) if density is None else np.exp(density(x[:, None]))
    densities = [
        Curve("data" + ("" if density else ", histogram"), x, data, "data", filled=True),
        Curve("samples, histogram", x, _histogram(samples[:, 0], low, high, x), "model", filled=True),
    ]
    verdicts = [Curve("D(x)", x, _verdicts(system, x[:, None]), "judge")]
    if isinstance(system, KnowsItsBest):
        own, best = _own_and_best(system, x[:, None], density)
        densities.append(Curve("$p_G$, exact", x, np.exp(own), "model"))
        if best is not None:
            verdicts.append(Curve("the best, D*(x)", x, best, "theory", dashed=True))
    ceiling = HEADROOM * float(data.max())
    across = (low, high)
    return Figure(
        [
            Panel("what is real and what is forged", "", "density", across, (0, ceiling), densities),
            Panel("what the discriminator thinks of it", "x", "taken for real", across, (0, 1), verdicts),
        ],
        stacked=True,
    )


def in_the_plane(system: "Judges", samples: np.ndarray, reference: np.ndarray, density: LogDensity | None) -> Figure:
    """Show data and samples (N, 2) over a map of D(x), with D = ½ and, where it is known, D* = ½ as lines."""
    from kallima.system import KnowsItsBest

    corners = [_range(reference[:, axis]) for axis in (0, 1)]
    half = max(high - low for low, high in corners) / 2  # one scale for both axes
    x_range, y_range = ((sum(pair) / 2 - half, sum(pair) / 2 + half) for pair in corners)
    x, y = np.meshgrid(np.linspace(*x_range, GRID), np.linspace(*y_range, GRID))
    places = np.stack([x, y], -1).reshape(-1, 2)
    verdict = _verdicts(system, places).reshape(GRID, GRID)
    marks: list[Mark] = [
        Field("D(x) near 1", verdict),
        Dots("data", reference, "data"),
        Dots("samples", samples, "model"),
        Level("D(x) = ½", verdict, 0.5, "judge"),
    ]
    if isinstance(system, KnowsItsBest):
        best = _own_and_best(system, places, density)[1]
        if best is not None:
            marks.append(Level("D*(x) = ½", best.reshape(GRID, GRID), 0.5, "theory", dashed=True))
    title = "samples, and what the discriminator takes for real"
    return Figure([Panel(title, "", "", x_range, y_range, marks, equal=True)])


def _verdicts(system: "Judges", places: np.ndarray) -> np.ndarray:
    """Ask the discriminator about places (N, D) in the data's own units: sigmoid of its score, (N,)."""
    return system.judge(_as_batch(system, places)).sigmoid().cpu().numpy()


def _own_and_best(
    system: "KnowsItsBest", places: np.ndarray, density: LogDensity | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return log p_G at places (N, D) in the data's own units, and D* there; None where p is unknown."""
    import torch

    own = system.log_density(_as_batch(system, places))
    best = None
    if density is not None:
        log_p = torch.from_numpy(density(places)).to(own)
        best = system.best_score(log_p, own).sigmoid().cpu().numpy()
    stretch = np.log(_units(system, places.shape[1])[1]).sum()
    return own.cpu().numpy() - stretch, best


def _as_batch(system: Any, places: np.ndarray) -> "Tensor":
    import torch

    offset, scale = _units(system, places.shape[1])
    return torch.from_numpy(((places - offset) / scale).astype(np.float32)).to(system.device)


def _units(system: Any, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and scale (D,) of the points in a batch."""
    field = system.spec["points"]
    offset = np.zeros(dimensions) if field.offset is None else np.asarray(field.offset)
    return offset, np.ones(dimensions) if field.scale is None else np.asarray(field.scale)


def _histogram(values: np.ndarray, low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Return the density of a histogram of `BINS` bins at x."""
    edges = np.linspace(low, high, BINS + 1)
    share = np.histogram(values, edges)[0] / (max(1, len(values)) * (edges[1] - edges[0]))
    return share[np.minimum((x - low) / (high - low) * BINS, BINS - 1).astype(int)]


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    spare = MARGIN * ((high - low) or 1.0)
    return low - spare, high + spare


def _density(dataset: "Dataset") -> LogDensity | None:
    """Return the log density of the data, where it is known."""
    source = dataset.source
    if not isinstance(source, PointSource) or source.log_density(np.zeros((1, _dimensions(dataset)))) is None:
        return None
    return source.log_density  # type: ignore[return-value]  # it was asked just now


def _dimensions(dataset: "Dataset") -> int:
    field = dataset.spec["points"]
    assert isinstance(field, Points)
    return field.dimensions


def _reference(dataset: "Dataset") -> np.ndarray:
    """Return some of the data's own points to draw samples over."""
    from kallima.sampling.drawing import to_units

    return to_units(dataset.read(np.arange(min(len(dataset), PICTURED["points"])))["points"], dataset.spec)
