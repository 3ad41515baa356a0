"""The two sides of a comparison, opened: samples from wherever they come, and the real data that they are held against.

Samples come from the same sources as data, and are seen as the data is: its size, its channels, its classes.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kallima.data.opening import open_source
from kallima.data.spec import Field, Image, Label, Points, Spec
from kallima.data.view import View
from kallima.errors import DataError, UsageError
from kallima.evaluation.arrays import numbers
from kallima.evaluation.examples import REAL_LIMIT, Arrays, describe_view, draw, image_field, read_blocks
from kallima.evaluation.image_metrics import IMAGE_METRICS, PAIRED
from kallima.evaluation.metrics import KINDS
from kallima.evaluation.reference import Reference, holds_statistics, read_reference
from kallima.evaluation.text.corpus import holds_texts, open_texts

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

Set = Any
"""A `Dataset`, or what is read as one: `Arrays`, `PointArrays`, `Chosen`; or `Texts`, or a `Reference`."""

Prepared = Callable[[int, int], None]


@dataclass(frozen=True)
class Truth:
    """Real data, or its statistics, and what goes with it.

    `labelled` is what a probe learns from, the train split where there is one; `held_out` is the test split where
    `real` is the train split and a metric asks for it.
    """

    real: Set
    labelled: Set | None = None
    held_out: Set | None = None

    @property
    def kind(self) -> str:
        """What is judged: "image", "points" or "text"; "-" for data that is none of these."""
        return "image" if isinstance(self.real, Reference) else _kind(self.real)


class PointArrays:
    """Points (N, D) in memory, read as a `Dataset` is; known by their content.

    Raises:
        DataError: they are not two or more finite points.
    """

    def __init__(self, points: np.ndarray | Tensor, what: str = "points"):
        self._points = numbers(what, points, 2, 2).astype(np.float32)
        self.name, self.split = "arrays", "-"
        self.spec = Spec({"points": Points(self._points.shape[1])})
        self.source = SimpleNamespace(splits=("-",))  # of no known distribution
        self.fingerprint = hashlib.sha256(f"{self._points.shape}".encode() + self._points.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._points)

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the examples at `indices`."""
        return {"points": torch.from_numpy(self._points[indices])}


class Chosen:
    """Some examples of a data set, read as one; `classes` renames its labels, and leaves them out where it is empty."""

    def __init__(self, dataset: Set, indices: np.ndarray, classes: tuple[str, ...] | None = None):
        self._dataset, self._indices = dataset, indices
        self.name, self.split, self.fingerprint = dataset.name, dataset.split, dataset.fingerprint
        self.view, self.source = dataset.view, getattr(dataset, "source", None)
        fields: dict[str, Field] = dict(dataset.spec)
        self._labels: Tensor | None = None
        if classes is not None and "label" in fields:
            own = fields.pop("label")
            assert isinstance(own, Label)
            if classes:
                self._labels = torch.tensor([classes.index(name) for name in own.classes])
                fields["label"] = Label(classes)
        self.spec = Spec(fields)

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the examples at these of the chosen places."""
        fields = self._dataset.read(self._indices[indices])
        if self._labels is not None:
            fields["label"] = self._labels[fields["label"]]
        return {name: values for name, values in fields.items() if name in self.spec}


def open_data(
    name: str | Path,
    *,
    split: str = "train",
    key: str | None = None,
    skip_bad: bool = False,
    medium: str | None = None,
    progress: Prepared | None = None,
    **view: Any,
) -> "Dataset":
    """Open and prepare data, of a `medium` if that is said; `view` is how its images are seen (size, crop, channels).

    Raises:
        UsageError: there is no such data, or an option does not apply.
        DataError: the data is broken, of another medium, or lacks the split.
    """
    from kallima.data.dataset import prepare

    source = open_source(name, split=split, key=key, medium=medium)
    return prepare(source, View(**view), skip_bad=skip_bad, progress=progress)


def open_truth(
    data: Any,
    *,
    split: str = "train",
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> Truth:
    """Open real data, and its other split where the metrics need it; `options` are those of `open_data`.

    Raises:
        UsageError: there is no such data, or an option does not apply.
        DataError: the data is broken, or lacks the split.
    """
    if holds_texts(data, options.get("key")):
        _refuse_view(options, f"{data if isinstance(data, (str, Path)) else 'the data'} is text")
        return Truth(open_texts(data, split=split, key=options.get("key")))
    if holds_statistics(data, options.get("key")):
        assert isinstance(data, (str, Path))
        if split != "train":
            raise UsageError(f"{data} holds statistics, of which --split cannot choose a part")
        return Truth(read_reference(data))
    if not isinstance(data, (str, Path)):
        for name in ("key", "size", "channels"):
            if options.get(name) is not None:
                raise UsageError(f"--{name} is for data from a source, and this is an array")
        if split != "train":
            raise UsageError(f"an array has no split '{split}'")
        real = _of_array(data, "the real images")
        return Truth(real, real)
    opened = open_data(data, split=split, **options)
    labelled = opened
    if split != "train" and "train" in opened.source.splits and "label" in opened.spec:
        labelled = open_data(data, **options)
    return Truth(opened, labelled, held_out_of(opened, data, metrics, seed, **options))


def held_out_of(
    real: "Dataset", data: str | Path, metrics: Sequence[str] | None, seed: int, **options: Any
) -> Set | None:
    """Return the test split beside a train split where a metric needs it, up to 10,000 examples of it."""
    if real.split != "train" or "test" not in real.source.splits or "image" not in real.spec:
        return None
    if not any(IMAGE_METRICS[name].held_out for name in metrics or IMAGE_METRICS if name in IMAGE_METRICS):
        return None
    apart = open_data(data, split="test", **options)
    return apart if len(apart) <= REAL_LIMIT else Chosen(apart, draw(apart, seed))


def open_samples(
    samples: Any,
    real: Set,
    *,
    key: str | None = None,
    size: int | None = None,
    crop: str = "centre",
    channels: int | None = None,
    skip_bad: bool = False,
    count: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    progress: Prepared | None = None,
) -> tuple[Any, list[str]]:
    """Open samples as `real` is seen: images to be read as a data set is, points (N, D) in their own units, or texts.

    Of more than `count` so many are drawn with `seed`. Statistics do not say how images are seen: then `size` and
    `channels` do. Besides the samples comes what a receipt should say of them.

    Raises:
        UsageError: there are no such samples, or fewer than `count`.
        DataError: they are broken, or are of another kind or size than the data.
    """
    notes: list[str] = []
    pairs = [name for name in metrics or () if name in PAIRED]
    if holds_texts(samples, key):
        _refuse_kinds(Truth(real).kind, "text")
        texts = open_texts(samples, key=key, option="--samples-key").texts
        return [texts[i] for i in _indices(len(texts), count, seed)], notes
    if pairs and (count is not None or skip_bad):
        what = "--skip-bad" if skip_bad else "--count"
        raise UsageError(f"{pairs[0]} compares pairs: {what} would leave some without their partner")
    if not isinstance(samples, (str, Path)):
        if key is not None:
            raise UsageError("--samples-key names an array in an .npz, and the samples are an array")
        opened: Set = _of_array(samples, "the samples")
    else:
        view: dict[str, Any] = {"size": size, "crop": crop, "channels": channels}
        image = None if isinstance(real, Reference) else real.spec.get("image")
        if isinstance(image, Image):
            view["channels"] = image.channels
            if image.height == image.width:  # a view is square
                view["size"] = image.height
        opened = open_data(samples, key=key, skip_bad=skip_bad, progress=progress, **view)
        notes += _changes(opened)
        if isinstance(real, Reference) and real.view is not None and "image" in opened.spec:
            own_view = describe_view(opened)
            if own_view != real.view:
                notes.append(f"the samples are seen {own_view}, and the statistics are of images seen {real.view}")
        if notes and pairs and not isinstance(real, Reference):
            was, seen = (_dimensions(field) for field in (opened.source.fields["image"], opened.spec["image"]))
            raise DataError(f"{pairs[0]} compares pixel by pixel: the samples are {was}, the data's images {seen}")
    _refuse_kinds(Truth(real).kind, _kind(opened))
    indices = _indices(len(opened), count, seed)
    if _kind(opened) == "points":
        values = np.concatenate([block["points"].double().numpy() for block in read_blocks(opened, indices)])
        field = opened.spec["points"]
        assert isinstance(field, Points)
        return values * (field.scale or 1) + (field.offset or 0), notes
    own, wanted = opened.spec.get("label"), None if isinstance(real, Reference) else real.spec.get("label")
    classes: tuple[str, ...] | None = None
    if isinstance(own, Label):
        known = isinstance(wanted, Label) and set(own.classes) <= set(wanted.classes)
        classes = wanted.classes if isinstance(wanted, Label) and known else ()
        if isinstance(wanted, Label) and not known:
            strange = next(name for name in own.classes if name not in wanted.classes)
            notes.append(f"the labels of the samples are left out: '{strange}' is no class of the data")
    return Chosen(opened, indices, classes), notes


def _kind(opened: Set) -> str:
    return next((kind for kind in KINDS if kind in opened.spec), "-")


def _refuse_kinds(real: str, samples: str) -> None:
    if real != samples:
        plural = KINDS | {"-": "neither images nor points nor text"}
        raise DataError(f"the samples are {plural[samples]}, and the data is {plural[real]}")


def _refuse_view(options: Any, why: str) -> None:
    for name in ("size", "crop", "channels", "skip_bad"):
        if options.get(name):
            raise UsageError(f"--{name.replace('_', '-')} is for images, and {why}")


def _dimensions(image: Field) -> str:
    assert isinstance(image, Image)
    size = f"{image.width}×{image.height}" if image.height and image.width else "of several sizes"
    return f"{size}, {image.channels} channel{'' if image.channels == 1 else 's'}"


def _of_array(values: Any, what: str) -> Arrays | PointArrays:
    shape = getattr(values, "shape", None)
    if shape is None:
        raise DataError(
            f"{what} are a {type(values).__name__}: give a path, images uint8 (N, H, W, C), points (N, D) or texts (N,)"
        )
    if len(shape) == 2:
        return PointArrays(values, what.replace("images", "points"))
    return Arrays(values, what=what)


def _indices(there: int, count: int | None, seed: int) -> np.ndarray:
    if count is None:
        return np.arange(there)
    if not 2 <= count <= there:
        raise UsageError(f"--count must be from 2 to the {there:,} samples that there are, not {count}")
    return np.sort(np.random.default_rng(seed).permutation(there)[:count])


def _changes(opened: "Dataset") -> list[str]:
    """Say what the samples were before they were made like the data."""
    if "image" not in opened.spec:
        return []
    seen, own = image_field(opened), opened.source.fields["image"]
    assert isinstance(own, Image)
    notes = []
    if (own.height, own.width) != (seen.height, seen.width):
        was = "of several sizes" if own.height is None else f"{own.width}×{own.height}"
        notes.append(f"the samples were {was} and are resized to {seen.width}×{seen.height}, as the data is seen")
    if own.channels != seen.channels:
        notes.append(f"the samples had {own.channels} channels and are seen with {seen.channels}, as the data is")
    return notes
