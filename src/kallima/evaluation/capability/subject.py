"""A system under examination and the examples that it is asked about; what several metrics ask is asked once."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from kallima.data.batch import Batch, as_batch, from_storage, to_storage
from kallima.data.spec import Label, Points, Spec, Text
from kallima.data.tokens import encode
from kallima.errors import DataError
from kallima.evaluation.examples import Progress, check_alike, draw, image_field, read_blocks
from kallima.evaluation.metrics import Told
from kallima.evaluation.reference import Reference
from kallima.evaluation.score import Measure
from kallima.system import Encodes, Reconstructs

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

BATCH = 250  # examples that a system is given at once
PICTURED = 2_000  # captions or sounds that a system draws, by default


class Found(NamedTuple):
    """A measure and what its receipt needs besides: which data, how many examples of it and of the system's own."""

    measure: Measure
    data: "Dataset | None"
    real: int = 0
    generated: int = 0
    range: str | None = None
    extractor: Told | None = None


class Seen:
    """Up to 10,000 examples of a data set, drawn with the seed, as a system that was built for `spec` sees them."""

    def __init__(self, dataset: "Dataset", spec: Spec, seed: int):
        self.dataset, self._spec = dataset, spec
        self.indices = draw(dataset, seed)
        if "image" in spec:
            check_alike(image_field(dataset), spec["image"], "the real images")  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self) -> Iterator[Tensor]:
        """Yield the examples as in a batch of training: images float (n, C, H, W) in [-1, 1], points standardised."""
        for block in read_blocks(self.dataset, self.indices):
            yield from (from_storage(block["image"]) if "image" in block else self._points(block)).split(BATCH)

    def records(self, device: torch.device) -> Iterator[Batch]:
        """Yield the examples with all that is known of them, on a device, as in training."""
        start = 0
        for block in read_blocks(self.dataset, self.indices):
            fields = dict(as_batch(block).fields)
            if "points" in fields:
                fields["points"] = self._points(fields)
            if "label" in fields:
                fields["label"] = self.labels[start : start + len(fields["label"])]
            text, size = self._spec.get("text"), len(next(iter(fields.values())))
            if isinstance(text, Text) and text.tokens and text != self.dataset.spec["text"]:  # coded as it learned
                texts = self.dataset.texts(self.indices[start : start + size])
                fields["text"] = torch.from_numpy(encode(texts, text))
            start += size
            parts = {name: value.to(device).split(BATCH) for name, value in fields.items()}
            for place in range(len(next(iter(parts.values())))):
                yield Batch({name: part[place] for name, part in parts.items()})

    @cached_property
    def images(self) -> Tensor:
        """The images as stored, uint8 (N, H, W, C)."""
        return torch.cat([block["image"] for block in read_blocks(self.dataset, self.indices)])

    @cached_property
    def labels(self) -> Tensor:
        """The classes int64 (N,), numbered as the system's are."""
        own, wanted = classes_of(self.dataset.spec), classes_of(self._spec) or classes_of(self.dataset.spec)
        number = torch.tensor([wanted.index(name) for name in own])
        return number[torch.cat([block["label"] for block in read_blocks(self.dataset, self.indices)])]

    def _points(self, block: dict[str, Tensor]) -> Tensor:
        """Return points as the system's data was standardised, which other data need not be."""
        own, wanted = self.dataset.spec["points"], self._spec["points"]
        return block["points"] if own == wanted else _standardised(in_units(block["points"], own), wanted)


class Subject:
    """A system, the data that it is held against and the data that it learned from.

    `real` is None where there are only statistics. `count` is how many examples are drawn of the system, None for what
    each metric takes by itself.
    """

    def __init__(
        self,
        system: Any,
        real: "Dataset | Reference | None" = None,
        trained_on: "Dataset | None" = None,
        *,
        count: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ):
        self.system, self.count, self.seed, self.device = system, count, seed, device
        self.real = None if isinstance(real, Reference) else real
        self.trained_on, self._progress = trained_on, progress

    @property
    def name(self) -> str:
        """What messages call the system."""
        return type(self.system).__name__

    @cached_property
    def seen(self) -> Seen:
        """The examples that the system is held against."""
        assert self.real is not None
        return Seen(self.real, self.system.spec, self.seed)

    @cached_property
    def known(self) -> Seen:
        """Examples that it learned from; the very same ones where it is held against those."""
        assert self.trained_on is not None
        return self.seen if self.is_held_against_known else Seen(self.trained_on, self.system.spec, self.seed)

    @property
    def is_held_against_known(self) -> bool:
        """Whether the data that it is held against is what it learned from."""
        if self.real is None or self.trained_on is None:
            return False
        return self.real is self.trained_on or _identity(self.real) == _identity(self.trained_on)

    @cached_property
    def codes(self) -> Tensor:
        """The codes (N, d) of the examples that it is held against."""
        return self._codes(self.seen)

    @cached_property
    def known_codes(self) -> Tensor:
        """The codes (N, d) of the examples that it learned from."""
        return self.codes if self.known is self.seen else self._codes(self.known)

    @cached_property
    def reconstructions(self) -> Tensor:
        """What it makes of the images, uint8 (N, H, W, C)."""
        assert isinstance(self.system, Reconstructs)
        return self.ask(self.system.reconstruct, self.seen, "reconstructing", keep=to_storage)

    def ask(
        self,
        what: Callable[[Tensor], Tensor],
        examples: Seen,
        doing: str,
        keep: Callable[[Tensor], Tensor] = Tensor.float,
    ) -> Tensor:
        """Return what the system answers to examples (N, …), on the CPU, as `keep` makes it of a batch of answers.

        Raises:
            DataError: an answer is NaN.
        """
        answers: list[Tensor] = []
        done = 0
        with torch.no_grad():
            for batch in examples.batches():
                answer = what(batch.to(self.system.device))
                if answer.isnan().any():
                    raise DataError(f"{self.name} answers NaN when {doing}: its training has diverged")
                answers.append(keep(answer).cpu())
                done += len(batch)
                if self._progress is not None:
                    self._progress(doing, done, len(examples))
        return torch.cat(answers)

    def draw(self, wishes: Sequence[tuple[dict[str, str], int]]) -> Tensor:
        """Draw so many examples for each of the wishes, one after another, in the data's units.

        They are images uint8 (N, H, W, C) or points (N, D), of latents of their own.
        """
        rng = torch.Generator().manual_seed(self.seed)
        made: list[Tensor] = []
        total, done = sum(count for _, count in wishes), 0
        for asked, count in wishes:
            for conditions in self.system.conditions.meet(asked, count, rng).split(BATCH):
                examples = self.system.sample(len(conditions), condition=conditions, rng=rng)
                points = self.system.spec.get("points")
                made.append(to_storage(examples) if points is None else in_units(examples.cpu(), points))
                done += len(examples)
                if self._progress is not None:
                    self._progress("drawing what is asked for", done, total)
        return torch.cat(made)

    @cached_property
    def pictured(self) -> tuple[Tensor, dict[str, Tensor]]:
        """One image of each caption or sound of the real examples, uint8 (N, H, W, C), and what is known of those.

        They are the first `count` of those that the system is held against (by default 2,000).
        """
        rng = torch.Generator().manual_seed(self.seed)
        made: list[Tensor] = []
        known: list[dict[str, Tensor]] = []
        done, total = 0, min(self.count or PICTURED, len(self.seen))
        for record in self.seen.records(self.system.device):
            told = self.system.conditions.vectors(record)[: total - done]
            made.append(to_storage(self.system.sample(len(told), condition=told, rng=rng)).cpu())
            kept = ("label", "attributes", "text", "image")
            known.append({name: record[name][: len(told)].cpu() for name in kept if name in record})
            done += len(told)
            if self._progress is not None:
                self._progress("drawing what is asked for", done, total)
            if done == total:
                break
        return torch.cat(made), {name: torch.cat([each[name] for each in known]) for name in known[0]}

    def _codes(self, examples: Seen) -> Tensor:
        assert isinstance(self.system, Encodes)
        return self.ask(self.system.encode, examples, "encoding")


def classes_of(spec: Spec) -> tuple[str, ...]:
    """Return the classes of the data's labels; none where it has no labels."""
    label = spec.get("label")
    return label.classes if isinstance(label, Label) else ()


def lacks_examples(subject: Subject) -> str | None:
    """Say that there is nothing to hold the system against, if so."""
    return "needs real examples, and here are only their statistics" if subject.real is None else None


def lacks_images(subject: Subject) -> str | None:
    """Say what the data lacks where images are compared."""
    if (lacking := lacks_examples(subject)) or subject.real is None:
        return lacking
    return None if "image" in subject.real.spec else f"compares images, and {subject.real.name} has none"


def lacks_labels(subject: Subject) -> str | None:
    """Say what the data lacks where a system's answers are held against its labels."""
    if (lacking := lacks_examples(subject)) or subject.real is None:
        return lacking
    own, known = classes_of(subject.real.spec), classes_of(subject.system.spec)
    if not own:
        return f"needs labels, and {subject.real.name} has none"
    strange = next((name for name in own if known and name not in known), None)
    return None if strange is None else f"needs data of the run's own classes, and '{strange}' is none of them"


def in_units(points: Tensor, field: Any) -> Tensor:
    """Return stored points (N, D) in the data's own units, float64."""
    assert isinstance(field, Points)
    scale = torch.tensor(1.0 if field.scale is None else field.scale, dtype=torch.float64)
    offset = torch.tensor(0.0 if field.offset is None else field.offset, dtype=torch.float64)
    return points.double() * scale + offset


def _identity(data: "Dataset") -> tuple[str, str, int]:
    return data.fingerprint, data.split, len(data)


def _standardised(points: Tensor, field: Any) -> Tensor:
    """Return points (N, D) in their own units as a batch holds them."""
    assert isinstance(field, Points)
    scale = torch.tensor(1.0 if field.scale is None else field.scale, dtype=torch.float64)
    offset = torch.tensor(0.0 if field.offset is None else field.offset, dtype=torch.float64)
    return ((points - offset) / scale).float()
