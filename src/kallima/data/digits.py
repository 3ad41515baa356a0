"""`digits`: 1,797 handwritten digits of 8×8 pixels, out of scikit-learn (Alpaydin & Kaynak 1998, UCI)."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from kallima.data.embedded import Embedded, package_path
from kallima.data.order import permutation
from kallima.data.source import Example
from kallima.data.spec import Field, Image, Label

_SEED = 1998
_EVERY = 5  # one in five of each class is for testing


class Digits(Embedded):
    """Grey 8×8 digits, white on black: fields image and label. 1,433 to train on, 364 to test, stratified by class."""

    title: ClassVar[str] = "digits"
    fields: Mapping[str, Field] = {"image": Image(1, 8, 8), "label": Label(tuple("0123456789"))}

    @cached_property
    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        """The split's images uint8 (N, 8, 8, 1) and labels int64 (N,), in the file's order."""
        # read from the file: importing scikit-learn takes a second
        with gzip.open(package_path("sklearn", "datasets/data/digits.csv.gz"), "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        labels = table[:, 64]
        testing = np.zeros(len(table), bool)
        for label in range(10):
            members = np.flatnonzero(labels == label)
            testing[members[permutation(len(members), _SEED, label)[::_EVERY]]] = True
        chosen = testing if self.split == "test" else ~testing
        images = np.rint(table[chosen, :64] * (255 / 16)).astype(np.uint8)  # the file counts 0 to 16
        return images.reshape(-1, 8, 8, 1), labels[chosen]

    def __len__(self) -> int:
        return len(self._examples[0])

    def read(self, index: int) -> Example:
        """Return example `index`."""
        images, labels = self._examples
        return {"image": images[index], "label": int(labels[index])}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the split's pixels and labels."""
        images, labels = self._examples
        return hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
