"""Images read one by one, seen as the run saw its own, and told in words."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kallima.data.batch import from_storage
from kallima.data.images import SUFFIXES, Crop, decode
from kallima.data.opening import open_source
from kallima.data.source import Problem, Source
from kallima.data.spec import Attributes, Image, Label
from kallima.data.view import View
from kallima.errors import DataError, UsageError
from kallima.files import write_whole
from kallima.system import Classifies, System, Tags

THRESHOLD = 0.5
"""A label is told where its probability is above this."""
_BATCH = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Labelled:
    """What a run says of images: `probabilities` (N, K) of the `labels` for each of the `names`.

    `one` says that each image has exactly one of them, its class. `broken` are the images that could not be read.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray
    one: bool
    broken: tuple[Problem, ...] = ()

    def told(self, index: int) -> dict[str, float]:
        """Return the labels of an image with their probabilities, the surest first; none where it has none."""
        row = self.probabilities[index]
        order = np.argsort(-row, kind="stable")
        chosen = order[:1] if self.one else order[row[order] > THRESHOLD]
        return {self.labels[each]: float(row[each]) for each in chosen}

    def table(self) -> str:
        """Write the probabilities as CSV: a row a file, a column a label."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file_name", *self.labels])
        for name, row in zip(self.names, self.probabilities, strict=True):
            writer.writerow([name, *(f"{value:.6f}" for value in row)])
        return text.getvalue()


def label_images(
    system: System,
    given: str | Path,
    *,
    out: str | Path | None = None,
    split: str = "train",
    key: str | None = None,
    crop: Crop = "centre",
    progress: Progress | None = None,
) -> Labelled:
    """Return what a system says of images, cut as in its training; see `kallima.labelling.label`."""
    image, labels = system.spec.get("image"), _labels(system)
    if not isinstance(image, Image) or not labels:
        raise UsageError(f"{type(system).__name__} tells neither labels nor classes of images")
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"{out} must end in .csv")
    broken: list[Problem] = []
    names: list[str] = []
    rows: list[Tensor] = []
    total, images = _read(given, image, View(_side(image), crop, image.channels), split, key)

    def usable() -> Iterator[tuple[str, np.ndarray]]:
        for name, found in images:
            if isinstance(found, Problem):
                broken.append(found)
            else:
                yield name, found

    waiting = usable()
    while some := list(islice(waiting, _BATCH)):
        pixels = from_storage(torch.from_numpy(np.stack([each for _, each in some]))).to(system.device)
        names += [name for name, _ in some]
        rows.append(_answer(system, pixels).float().cpu())
        if progress is not None:
            progress("labelling", len(names) + len(broken), total)
    if not rows:
        raise DataError(f"not one image of {given} can be read: {broken[0].path} {broken[0].problem}")
    probabilities = torch.cat(rows).numpy()
    if np.isnan(probabilities).any():
        raise DataError(f"{type(system).__name__} answers NaN: its training has diverged")
    found = Labelled(tuple(names), labels, probabilities, not isinstance(system, Tags), tuple(broken))
    if out is not None:
        write_whole(Path(out), found.table().encode())
    return found


def _labels(system: System) -> tuple[str, ...]:
    """Return what the system tells of an example; nothing where it tells nothing."""
    if isinstance(system, Tags):
        field = system.spec["attributes"]
        assert isinstance(field, Attributes)
        return field.names
    label = system.spec.get("label")
    return label.classes if isinstance(system, Classifies) and isinstance(label, Label) else ()


def _side(image: Image) -> int | None:
    """Return the side that images are brought to; None where they were not square, and so as they are."""
    return image.height if image.height == image.width else None


def _answer(system: System, pixels: Tensor) -> Tensor:
    """Return the probability of each label, or class, for images (N, C, H, W): (N, K)."""
    if isinstance(system, Tags):
        return system.tag(pixels)
    assert isinstance(system, Classifies)
    return system.classify(pixels).exp()


def _read(
    given: str | Path, image: Image, view: View, split: str, key: str | None
) -> tuple[int, Iterator[tuple[str, np.ndarray | Problem]]]:
    """Return how many images there are, and each with its name, seen as `image` says."""
    if str(given).lower().endswith(SUFFIXES) and Path(given).is_file():
        try:
            return 1, iter([(str(given), _seen(decode(Path(given)), view, image))])
        except DataError as error:
            raise DataError(f"{given} {error}") from error
    source = open_source(given, split=split, key=key)
    if "image" not in source.fields:
        raise DataError(f"{given} holds no images")

    def each() -> Iterator[tuple[str, np.ndarray | Problem]]:
        for index, example in enumerate(source.examples()):
            name = _name(source, index)
            try:
                yield name, example if isinstance(example, Problem) else _seen(example["image"], view, image)
            except DataError as error:
                yield name, Problem(name, str(error))

    return len(source), each()


def _seen(pixels: np.ndarray, view: View, image: Image) -> np.ndarray:
    shown = view.apply(pixels)
    if shown.shape != (image.height, image.width, image.channels):
        raise DataError(f"is {shown.shape[1]}×{shown.shape[0]} as seen, and the run saw {image.width}×{image.height}")
    return shown


def _name(source: Source, index: int) -> str:
    """Return the name of a file below the folder or in the archive; of what has no files, its number."""
    return source.names[index] if index < len(source.names) else str(index)
