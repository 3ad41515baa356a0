"""What a stream reads of the data: all of it, the examples of one class, or few of each class."""

from dataclasses import dataclass

import numpy as np

from kallima.data.dataset import Dataset, Subset
from kallima.data.spec import Label
from kallima.errors import DataError


@dataclass(frozen=True)
class Portion:
    """The part of the data that a stream reads; without arguments all of it.

    `of_class` is a field and the index of one of its classes. `few` examples are taken of all, the same number of each
    class of `label` (or as near as may be), drawn by `seed`. `batch_size` is that of the stream, by default the run's.
    """

    of_class: tuple[str, int] | None = None
    few: int | None = None
    seed: int = 0
    batch_size: int | None = None

    def of(self, dataset: Dataset) -> Dataset:
        """Return this part of a dataset.

        Raises:
            DataError: there are not so many examples, or none.
        """
        if self.of_class is None and self.few is None:
            return dataset
        indices = np.arange(len(dataset))
        if self.of_class is not None:
            field, chosen = self.of_class
            indices = indices[dataset.column(field) == chosen]
            if not len(indices):
                kind = dataset.spec[field]
                named = kind.classes[chosen] if isinstance(kind, Label) else chosen
                raise DataError(f"the data has no example whose {field} is '{named}'")
        if self.few is not None:
            indices = self._balanced(dataset, indices)
        return Subset(dataset, indices)

    def _balanced(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        assert self.few is not None
        rng = np.random.Generator(np.random.Philox(key=self.seed))
        labels = dataset.column("label")[indices]
        classes = np.unique(labels)
        share = [self.few // len(classes) + (place < self.few % len(classes)) for place in range(len(classes))]
        chosen = []
        for label, count in zip(classes, share, strict=True):
            those = indices[labels == label]
            if len(those) < count:
                raise DataError(
                    f"{self.few} labelled examples are {count} of each class, but one class has only {len(those)}: "
                    "ask for fewer"
                )
            chosen.append(rng.permutation(those)[:count])
        return np.sort(np.concatenate(chosen))
