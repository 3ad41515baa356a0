"""Where examples come from. A source has named fields, a length, a content fingerprint and its examples in order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from kallima.data.spec import Field
from kallima.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from kallima.data.images import Survey
    from kallima.data.sound import Hearing

Example = dict[str, Any]
"""Raw values by field name: image uint8 (H, W, C) array of native size, label int, attributes float32 (A,), text str,
points float32 (D,) in the data's own units, video uint8 (T, H, W, C), audio int16 (T,) of native length and beside it
its rate in samples a second."""


@dataclass(frozen=True)
class Problem:
    """One thing in the data that cannot be used: where it is and what is wrong, in plain words."""

    path: str
    problem: str


class Source(ABC):
    """A set of examples. Nothing is decoded before it is asked for; nothing of the user's is ever written to.

    `name` is what --data said, in the form that opens the same source again (a path is absolute). `split` is the one of
    `splits` that is open: "train", "test" or what else the data names. `fields` describes the raw examples (images of
    differing sizes have height and width None). Of examples that are files `names` has their names; `survey` tells more
    of images, `hearing` of sounds.
    """

    name: str
    split: str
    splits: tuple[str, ...] = ("train",)
    fields: Mapping[str, Field]
    names: Sequence[str] = ()
    survey: "Survey | None" = None
    hearing: "Hearing | None" = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def examples(self) -> Iterator["Example | Problem"]:
        """Yield every example in order, a `Problem` in the place of each broken one, in memory that does not grow."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return the SHA-256 of the content (names, bytes, labels) in hex: equal for equal data, wherever it lies."""

    def check(self) -> list[Problem]:
        """Look at every example and return what is broken and why. `len(self)` counts broken ones too."""
        return [example for example in self.examples() if isinstance(example, Problem)]


def demand_split(split: str, splits: tuple[str, ...], where: str) -> None:
    """Refuse a split that `where` lacks.

    Raises:
        DataError: `split` is none of `splits`.
    """
    if split not in splits:
        raise DataError(f"{where} has no split '{split}', only {', '.join(splits)}{did_you_mean(split, splits)}")


@runtime_checkable
class RandomAccess(Protocol):
    """A source that can read any one example without those before it: such a set can be streamed."""

    def read(self, index: int) -> "Example | Problem":
        """Return example `index`, or the `Problem` with it."""
        ...


class PointSource(Source):
    """Points drawn from a known distribution."""

    @abstractmethod
    def log_density(self, points: np.ndarray) -> np.ndarray | None:
        """Return log p at (N, D) points as float64 (N,), or None where it has no closed form."""

    modes: ClassVar[np.ndarray | None] = None  # (M, D) centres, where the distribution is a mixture
    mode_deviation: ClassVar[float | None] = None  # the standard deviation of each
