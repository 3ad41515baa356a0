"""A dataset: a source seen through a view, ready to be read in any order."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kallima.data.cache import Column, Entry, Writer, entry
from kallima.data.fingerprint import remember
from kallima.data.sound import AUDIO_LENGTH, resampled, say_once
from kallima.data.source import Problem, RandomAccess, Source
from kallima.data.spec import Attributes, Audio, Field, Image, Label, Points, Spec, Text, Values, Video
from kallima.data.tokens import cut, encode
from kallima.data.view import View
from kallima.errors import DataError

PREPARED_LIMIT = 4 << 30
"""Bytes: a set that is larger when decoded is read from its own files each time, if it allows that."""

_FORMAT = 2  # of what is written to the cache
_LISTED = 5  # problems named in an error

Progress = Callable[[int, int], None]
"""How many examples are done, of how many."""


class Dataset(ABC):
    """Examples ready to read, from 0 to before `len(dataset)`; broken ones are left out.

    `spec` says what `read` gives, with the image's true size. `name`, `split` and `fingerprint` are the source's.
    `decodes` tells whether reading costs decoding, so that worker processes help; `row_bytes` is an example's size.
    """

    decodes: bool

    def __init__(self, source: Source, view: View, spec: Spec, fingerprint: str, count: int):
        self.source, self.view, self.spec, self.fingerprint = source, view, spec, fingerprint
        self.name, self.split, self._count = source.name, source.split, count
        self.row_bytes = sum(column.row_bytes for column in _columns(spec).values())

    def __len__(self) -> int:
        return self._count

    @abstractmethod
    def read(self, indices: np.ndarray, draws: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return examples (N,) in stored form, by field name; texts without codes are had from `texts` alone.

        image: uint8 (N, H, W, C); video: uint8 (N, T, H, W, C); audio: int16 (N, T), and audio_length: int64 (N,);
        text: its codes, int64 (N, L); label: int64 (N,); attributes: float32 (N, A); points (N, D) and values (N, V):
        float32, standardised as the spec says. `draws` are random bits, uint64 (N,), that place random crops; without
        them the middle is cut.

        Raises:
            DataError: a file has changed or gone since the data was prepared.
        """

    @abstractmethod
    def texts(self, indices: np.ndarray) -> list[str]:
        """Return the texts of these examples; KeyError where the data has none."""

    @abstractmethod
    def column(self, name: str) -> np.ndarray:
        """Return one field other than the image or the text of every example, (N, …)."""


class CachedDataset(Dataset):
    """Examples decoded once and mapped into memory: reading copies them, at the speed of memory."""

    decodes = False

    def __init__(self, source: Source, view: View, spec: Spec, fingerprint: str, prepared: Entry):
        super().__init__(source, view, spec, fingerprint, prepared.rows)
        self._entry = prepared

    def read(self, indices: np.ndarray, draws: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return examples in stored form; see `Dataset.read`."""
        # not torch.index_select: its threads cost more than the copy, and numpy too lets others run meanwhile
        fields = {
            name: torch.from_numpy(np.take(column, indices, axis=0)) for name, column in self._entry.arrays.items()
        }
        self._entry.touched(len(indices), self.row_bytes)
        text = self.spec.get("text")
        if isinstance(text, Text) and text.tokens:
            fields["text"] = torch.from_numpy(encode(self.texts(indices), text))
        return _standardised(fields, self.spec)

    def texts(self, indices: np.ndarray) -> list[str]:
        """Return the texts of these examples."""
        return self._entry.texts(indices)

    def column(self, name: str) -> np.ndarray:
        """Return one field of every example."""
        return np.array(self._entry.arrays[name])


class StreamedDataset(Dataset):
    """Examples read from the source each time: for sets too large to decode ahead, and for random crops."""

    decodes = True

    def __init__(self, source: Source, view: View, spec: Spec, fingerprint: str, broken: np.ndarray):
        super().__init__(source, view, spec, fingerprint, len(source) - len(broken))
        self._gaps = broken - np.arange(len(broken))  # how many usable examples stand before each broken one

    def read(self, indices: np.ndarray, draws: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return examples in stored form; see `Dataset.read`."""
        columns = _columns(self.spec)
        text = self.spec.get("text")
        rows = []
        for place, index in enumerate(np.asarray(indices)):
            # one generator an example, so that no example's crop depends on its neighbours
            rng = None if draws is None else np.random.Generator(np.random.Philox(key=int(draws[place])))
            rows.append(_viewed(self._example(int(index)), self.view, self.spec, rng))
        fields = {
            name: torch.from_numpy(
                np.array([row[name] for row in rows], column.dtype).reshape(len(rows), *column.shape)
            )
            for name, column in columns.items()
        }
        if isinstance(text, Text) and text.tokens:
            fields["text"] = torch.from_numpy(encode([str(row["text"]) for row in rows], text))
        return _standardised(fields, self.spec)

    def texts(self, indices: np.ndarray) -> list[str]:
        """Return the texts of these examples."""
        return [str(self._example(int(index))["text"]) for index in indices]

    def column(self, name: str) -> np.ndarray:
        """Return one field of every example, each of which is read once for it."""
        return np.array([self._example(index)[name] for index in range(len(self))])

    def _example(self, index: int) -> dict[str, Any]:
        position = index + int(np.searchsorted(self._gaps, index, side="right"))
        assert isinstance(self.source, RandomAccess)
        example = self.source.read(position)
        if isinstance(example, Problem):
            raise DataError(f"{example.path} {example.problem}: it has changed since the data was checked")
        return example


class Subset(Dataset):
    """Some examples of another dataset, by their `indices` there."""

    def __init__(self, whole: Dataset, indices: np.ndarray):
        super().__init__(whole.source, whole.view, whole.spec, whole.fingerprint, len(indices))
        self.whole, self.indices = whole, indices
        self.decodes = whole.decodes

    def read(self, indices: np.ndarray, draws: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return examples in stored form; see `Dataset.read`."""
        return self.whole.read(self.indices[indices], draws)

    def texts(self, indices: np.ndarray) -> list[str]:
        """Return the texts of these examples."""
        return self.whole.texts(self.indices[indices])

    def column(self, name: str) -> np.ndarray:
        """Return one field of every example."""
        return self.whole.column(name)[self.indices]


def prepare(source: Source, view: View, *, skip_bad: bool = False, progress: Progress | None = None) -> Dataset:
    """Look at every example once and return the dataset.

    What fits into `PREPARED_LIMIT` is decoded into the cache, as is what can only be read from start to end. The rest
    is read from its files each time, and the cache keeps only what was found broken. `skip_bad` goes on without the
    broken examples.

    Raises:
        DataError: examples are broken, or there are none, or the view does not fit the data; also for a cache that
            cannot be written.
    """
    if len(source) == 0:
        raise DataError(f"{source.name} holds no examples")
    fingerprint = source.fingerprint()
    spec = _spec(source, view, fingerprint)
    cropped = _crop(source, view)
    if cropped == "random" and not isinstance(source, RandomAccess):
        raise DataError(
            f"a random crop reads images one by one, which {source.name} does not allow: "
            "unpack it into a folder, or choose --crop centre"
        )
    columns = _columns(spec)
    size = len(source) * sum(column.row_bytes for column in columns.values())
    streamed = cropped == "random" or (size > PREPARED_LIMIT and isinstance(source, RandomAccess))

    def fill(writer: Writer) -> None:
        for position, example in enumerate(source.examples()):
            if isinstance(example, Problem):
                writer.skip(position, example)
            elif not streamed:
                writer.add(_viewed(example, view, spec, None))
            if progress is not None:
                progress(position + 1, len(source))

    if streamed:
        prepared = entry(_key(fingerprint, "checked"), {}, 0, fill)
    else:
        # values are stored as they are, so what standardises them is not part of the key
        stored = {name: [column.dtype, *column.shape] for name, column in columns.items()}
        key = _key(fingerprint, cropped, stored, "text" in spec)
        prepared = entry(key, columns, len(source), fill, texts="text" in spec)
    _refuse(source, prepared, skip_bad)
    if streamed:
        return StreamedDataset(source, view, spec, fingerprint, prepared.broken)
    return CachedDataset(source, view, spec, fingerprint, prepared)


def _spec(source: Source, view: View, fingerprint: str) -> Spec:
    """Return the fields as the view shows them."""
    fields: dict[str, Field] = dict(source.fields)
    image, video, text, audio = (fields.get(name) for name in ("image", "video", "text", "audio"))
    if isinstance(image, Image):
        fields["image"] = view.field(image, source.survey)
    if isinstance(video, Video):
        frame = view.field(Image(video.channels, video.height, video.width))
        assert frame.height is not None
        assert frame.width is not None
        fields["video"] = replace(video, channels=frame.channels, height=frame.height, width=frame.width)
    if isinstance(audio, Audio):
        hearing = source.hearing
        assert hearing is not None
        if not hearing.rates:
            raise DataError(
                f"not one of the sounds can be used ({hearing.problem}): 'kallima data check' tells of each"
            )
        fields["audio"] = heard = view.audio_field(audio, hearing.rates, hearing.longest)
        for change in hearing.changes(heard):
            say_once(f"{source.name}: {change}")
    if isinstance(text, Text) and (view.tokens or Spec(fields).medium == "text"):
        counts, longest = _token_counts(source, view.tokens or "character", fingerprint)
        fields["text"] = view.text_field(text, counts, longest)
    return Spec(fields)


def _token_counts(source: Source, tokens: str, fingerprint: str) -> tuple[dict[str, int], int]:
    """Return how often each token occurs in a source, and the number of tokens in its longest text."""

    def count() -> tuple[dict[str, int], int]:
        counts: Counter[str] = Counter()
        longest = 0
        for example in source.examples():
            if not isinstance(example, Problem):
                found = cut(example["text"], tokens)
                counts.update(found)
                longest = max(longest, len(found))
        return dict(counts), longest

    counts, longest = remember(f"{tokens}s of {fingerprint}", (), count)
    return counts, longest


def _crop(source: Source, view: View) -> str | None:
    """Return how the view cuts, None where it cannot matter: then all crops share one entry of the cache.

    Raises:
        DataError: a random crop of videos.
    """
    seen = source.fields.get("image", source.fields.get("video"))
    if not isinstance(seen, (Image, Video)) or view.size is None or (seen.height and seen.height == seen.width):
        return None
    if isinstance(seen, Video) and view.crop == "random":
        raise DataError("a random crop is one of images: cut videos with --crop centre, or give the whole with none")
    return view.crop


def _columns(spec: Spec) -> dict[str, Column]:
    """Return how each field but the text is stored."""
    columns = {}
    for name, field in spec.items():
        match field:
            case Image(channels, int(height), int(width)):
                columns[name] = Column("|u1", (height, width, channels))
            case Label():
                columns[name] = Column("<i8", ())
            case Attributes(names) | Values(names):
                columns[name] = Column("<f4", (len(names),))
            case Points(dimensions):
                columns[name] = Column("<f4", (dimensions,))
            case Text():
                pass
            case Audio(_, int(samples)):
                columns[name] = Column("<i2", (samples,))
                columns[AUDIO_LENGTH] = Column("<i8", ())
            case Video(frames, channels, height, width):
                columns[name] = Column("|u1", (frames, height, width, channels))
            case _:
                raise DataError(f"'{name}' ({type(field).__name__}) cannot be prepared")
    return columns


def _viewed(example: dict[str, Any], view: View, spec: Spec, rng: np.random.Generator | None) -> dict[str, Any]:
    """Return the example as the view shows it: its pictures of the size and channels that the spec says, its sound of
    the rate and length."""
    audio = spec.get("audio")
    if isinstance(audio, Audio):
        assert audio.rate is not None
        assert audio.samples is not None
        heard = resampled(example["audio"], example["rate"], audio.rate, audio.samples)
        example = {**example, "audio": np.pad(heard, (0, audio.samples - len(heard))), AUDIO_LENGTH: len(heard)}
    if view.crop == "random" and rng is None:
        view = replace(view, crop="centre")
    if "video" in spec:
        return {**example, "video": np.stack([view.apply(frame) for frame in example["video"]])}
    field = spec.get("image")
    if not isinstance(field, Image):
        return example
    image = view.apply(example["image"], rng)
    if image.shape != (field.height, field.width, field.channels):
        raise DataError(
            f"the images differ: one is {image.shape[1]}×{image.shape[0]} with {image.shape[2]} channels, not "
            f"{field.width}×{field.height} with {field.channels}: choose with --size and --channels"
        )
    return {**example, "image": image}


def _standardised(fields: dict[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    for name, field in spec.items():
        if isinstance(field, (Points, Values)):
            if field.offset is not None:
                fields[name] = fields[name] - torch.tensor(field.offset)
            if field.scale is not None:
                fields[name] = fields[name] / torch.tensor(field.scale)
    return fields


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *parts], sort_keys=True).encode()).hexdigest()[:32]


def _refuse(source: Source, prepared: Entry, skip_bad: bool) -> None:
    problems, count = prepared.problems, len(source)
    if not problems or (skip_bad and len(problems) < count):
        return
    listed = problems[:_LISTED]
    if isinstance(source, RandomAccess):  # equal data elsewhere shares the entry, but lies under other paths
        again = [source.read(int(position)) for position in prepared.broken[:_LISTED]]
        listed = [new if isinstance(new, Problem) else old for new, old in zip(again, listed, strict=True)]
    named = "; ".join([f"{problem.path} {problem.problem}" for problem in listed] + ["…"] * (len(problems) > _LISTED))
    if len(problems) == count:
        raise DataError(f"not one of {count:,} examples can be used: {named}")
    raise DataError(
        f"{len(problems):,} of {count:,} examples cannot be used: {named}: mend or remove them, "
        "or go on without them with --skip-bad ('kallima data check' lists all)"
    )
