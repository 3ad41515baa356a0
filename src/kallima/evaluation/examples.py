"""The real examples that a score is measured against."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from kallima.data.spec import Image
from kallima.errors import DataError

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

REAL_LIMIT = 10_000
_BLOCK = 1000


def image_field(dataset: "Dataset") -> Image:
    """Return what the data's images are.

    Raises:
        DataError: there are none.
    """
    dataset.spec.demand({"image": Image}, "the image metrics")
    image = dataset.spec["image"]
    assert isinstance(image, Image)
    return image


def draw(dataset: "Dataset", seed: int) -> np.ndarray:
    """Return the sorted indices of up to 10,000 examples, drawn without replacement: all where there are no more.

    Raises:
        DataError: there are fewer than two.
    """
    if len(dataset) < 2:
        raise DataError(f"{dataset.name} has {len(dataset)} examples: a score needs two or more")
    if len(dataset) <= REAL_LIMIT:
        return np.arange(len(dataset))
    return np.sort(np.random.default_rng(seed).choice(len(dataset), REAL_LIMIT, replace=False))


def read_blocks(dataset: "Dataset", indices: np.ndarray) -> Iterator[dict[str, Tensor]]:
    """Yield the examples at `indices` in order, a thousand at a time."""
    for start in range(0, len(indices), _BLOCK):
        yield dataset.read(indices[start : start + _BLOCK])
