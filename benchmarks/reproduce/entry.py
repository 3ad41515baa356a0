"""What a reproduction on images is: a training, what is measured of it, and the bar that the figures have to pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import kallima

Figures = Mapping[str, float]
"""Figures by name, such as {"s": 0.04, "fid": 8.9}."""


def samples(run: "kallima.Run") -> np.ndarray:
    """Return 64 samples of a run."""
    return kallima.sample(run, 64, device="cpu")


@dataclass(frozen=True)
class Bar:
    """What is asked of the means over all seeds, in words and as a predicate.

    The predicate finds the "median s" and the "best s", the highest, besides the mean s. Where `against` names another
    entry of the same protocol, it takes that one's means too.
    """

    words: str
    met: Callable[..., bool]
    against: str | None = None


@dataclass(frozen=True)
class Entry:
    """A recipe, trained with its defaults but for `options`, and judged.

    `group` is the table that it stands in. `data` gives what `--data` takes, when asked: a set that is not there stops
    only those who need it; `data_words` is how the table names it. `judge` takes the finished run and returns its
    figures, of which the table shows those in `shows`, a format each. An entry without a bar is there for others to be
    held against. `published` is the literature's figure and where it stands. `picture` takes the run of the first seed
    and returns images uint8 (N, H, W, C) for the gallery, eight a row; None for none.
    """

    group: str
    recipe: str
    data: Callable[[], Path | str]
    data_words: str
    judge: Callable[["kallima.Run"], dict[str, float]]
    shows: Mapping[str, str]
    bar: Bar | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1
    published: str = ""
    picture: Callable[["kallima.Run"], np.ndarray] | None = samples

    @property
    def command(self) -> str:
        """What a user types for it."""
        words = []
        for name, value in self.options.items():
            flag = "--" + name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
        return " ".join(["kallima train", self.recipe, "--data", self.data_words, *words])
