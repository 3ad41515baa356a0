"""What is pictured of a system while it trains: its samples, and of points of one or two dimensions more than these."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kallima.data.source import PointSource
from kallima.data.spec import Label, Points
from kallima.figures import LogDensity
from kallima.files import write_whole
from kallima.picturing.points import in_the_plane, on_a_line

if TYPE_CHECKING:
    from PIL import Image

    from kallima.data.dataset import Dataset
    from kallima.system import Completes, System

PICTURED = {"image": 64, "points": 2_500, "video": 8, "audio": 8}  # how many samples a picture holds
SLOW = 16  # of those that are made piece by piece
ACROSS = 10  # samples of each condition
CAPTIONS = 8  # examples whose captions or sounds are tried
WRITTEN = 16  # texts, those of all conditions together


def show_samples(system: "System", dataset: "Dataset", step: int, folder: Path, *, seed: int) -> None:
    """Write into `folder` what the system shows after `step` steps: NNNNNNNN.png a picture, .txt texts, .wav sounds."""
    from kallima.reporting.export import sheet
    from kallima.reporting.grid import save_picture
    from kallima.reporting.sound import wave_file
    from kallima.sampling.drawing import draw
    from kallima.system import Samples

    path, rate = folder / f"{step:08d}", dataset.spec.rate
    if rate is not None and isinstance(system, Samples):
        sounds = draw(system, PICTURED["audio"], seed=seed)
        picture: Image.Image | None = sheet(sounds, rate=rate)
        write_whole(path.with_suffix(".wav"), wave_file(list(sounds), rate))
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
