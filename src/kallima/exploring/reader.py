"""What is in pictures: the data's labels and attributes, chosen by, read off by small classifiers, and counted."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from kallima.conditions import KINDS, Conditions, Wishes
from kallima.data.batch import Batch
from kallima.data.dataset import Dataset
from kallima.data.spec import Attributes, Label, Values
from kallima.errors import UsageError
from kallima.evaluation.features import Probe
from kallima.evaluation.features.attributes import AttributeProbe


class Described:
    """Labelled data: which examples meet a wish, and what a wish is as a vector.

    Raises:
        UsageError: the data says nothing about its examples.
    """

    def __init__(self, data: Dataset, what: str):
        self.data = data
        self.fields = [name for name, kind in KINDS.items() if isinstance(data.spec.get(name), kind)]
        if not self.fields:
            raise UsageError(
                f"{what} chooses examples by label, attributes or values, and {data.name} has none of them"
            )
        self.conditions = Conditions(data.spec, self.fields)
        self._vectors = self.conditions.vectors(Batch({name: self._column(name) for name in self.fields}))

    def wish(self, option: str, text: str) -> Wishes:
        """Read one condition, given as an option.

        Raises:
            UsageError: it is none or several, or nothing of that name is there.
        """
        rows = self.conditions.read(text)
        if len(rows) != 1 or not rows[0]:
            raise UsageError(f"{option} takes one condition, such as {self.conditions.example()}, not '{text}'")
        self.conditions.meet(rows[0], 1)
        return rows[0]

    def vector(self, wishes: Wishes) -> Tensor:
        """Return what is wished for as a vector (size,), 0 in places of which nothing is said."""
        vector = self.conditions.meet(wishes, 1)[0]
        return torch.where(self.places(wishes), vector, 0)

    def places(self, wishes: Wishes) -> Tensor:
        """Return which places of such a vector the wishes speak of, (size,)."""
        spoken = torch.zeros(self.conditions.size, dtype=torch.bool)
        for name in wishes:
            spoken[self.conditions.parts[name].place] = True
        return spoken

    def meeting(self, wishes: Wishes, count: int, seed: int) -> np.ndarray:
        """Return up to `count` indices of examples that meet the wishes, drawn with the seed.

        Raises:
            UsageError: no example does.
        """
        places = self.places(wishes)
        met = ((self._vectors - self.vector(wishes)).abs()[:, places] < 1e-4).all(1).numpy().nonzero()[0]
        if not len(met):
            raise UsageError(f"{self.data.name} has no example with {self.conditions.say(wishes)}")
        return np.random.default_rng(seed).permutation(met)[:count]

    def _column(self, name: str) -> Tensor:
        """Return a field of every example as a batch has it."""
        column, field = self.data.column(name), self.data.spec[name]
        if isinstance(field, Values):
            column = (column - np.asarray(field.offset)) / np.asarray(field.scale)
        return torch.from_numpy(column)


class Reader:
    """Reads label and attributes off pictures, with probes that learn them from the data the first time.

    `accuracy` is the lower of the probes' on examples held out. `notes` say how they were made.
    """

    def __init__(self, described: Described, names: Iterable[str], *, device: torch.device):
        data = described.data
        fields = [described.conditions.parts[name].field for name in names]
        if any(isinstance(field, Values) for field in fields):
            raise UsageError("probes read labels and attributes, not values: leave the values out, or give --no-score")
        self.notes: list[str] = []
        accuracies: list[float] = []
        self._logits: dict[str, Callable[[Tensor], Tensor]] = {}
        self._attributes: tuple[str, ...] = ()
        self.label = None
        if "label" in data.spec:
            probe = Probe(data, device=device)
            self.label = data.spec["label"]
            self._logits["label"] = probe.logits
            self.notes += probe.notes
            accuracies += [probe.accuracy] if any(isinstance(field, Label) for field in fields) else []
        if any(isinstance(field, Attributes) for field in fields):
            attributes = AttributeProbe(data, device=device)
            field = data.spec["attributes"]
            assert isinstance(field, Attributes)
            self._attributes = field.names
            self._logits["attributes"] = attributes.logits
            self.notes += attributes.notes
            accuracies.append(attributes.accuracy)
        self.accuracy = min(accuracies)

    def reads(self, images: Tensor, wishes: Wishes) -> Tensor:
        """Return how likely images uint8 (N, H, W, C) are to be what is wished for, (N,): the product over wishes."""
        likely = torch.ones(len(images))
        for name, value in wishes.items():
            if name == "label":
                assert isinstance(self.label, Label)
                likely *= self._logits["label"](images).softmax(1)[:, self.label.classes.index(str(value))]
            else:
                logit = self._logits["attributes"](images)[:, self._attributes.index(name)]
                likely *= (logit if str(value).lower() in ("true", "yes", "1") else -logit).sigmoid()
        return likely

    def shows(self, images: Tensor, wishes: Wishes) -> Tensor:
        """Return which images uint8 (N, H, W, C) read as all that is wished for, (N,)."""
        met = torch.ones(len(images), dtype=torch.bool)
        for name, value in wishes.items():
            if name == "label":
                assert isinstance(self.label, Label)
                met &= self._logits["label"](images).argmax(1) == self.label.classes.index(str(value))
            else:
                met &= self.reads(images, {name: value}) > 0.5
        return met

    def labels(self, images: Tensor) -> Tensor | None:
        """Return the class that each of the images is read as, (N,); None where the data has no labels."""
        return self._logits["label"](images).argmax(1) if self.label is not None else None


def wanted(positive: Wishes, negative: Wishes, add: Wishes) -> Mapping[str, str | float | bool]:
    """Return what `add` should become: all that it is, but where the positive differ from the negative, as they are."""
    return {**add, **{name: value for name, value in positive.items() if negative.get(name) != value}}
