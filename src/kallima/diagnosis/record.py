"""The history that a diagnosis reads: named series of (step, value), sparse, of any program, bounded in memory."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from kallima.evaluation.metrics import METRICS

MOST_POINTS = 4096
"""Points kept of a series: when there are more, each two neighbours become their mean."""

STEP_NAMES = ("step", "steps", "iteration", "iterations", "iter", "it", "global step", "kimg", "epoch")

# What a series is, by the words of its name (lower case, parted by spaces).
_PLAYERS = {
    "discriminator": r"d|dis|disc|discriminator|critic|c",
    "generator": r"g|gen|generator",
}
_LOSS = r"loss|err|error|cost"
_METRIC_NAMES = {"is": "inception-score", "isc": "inception-score", "ms ssim": "ms-ssim", "swd": "sliced-wasserstein"}


class Series(NamedTuple):
    """One scalar over the steps, both float64 (N,), the steps ascending."""

    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def after(self, step: float) -> "Series":
        """Return what was recorded later than `step`."""
        later = self.steps > step
        return Series(self.steps[later], self.values[later])


EMPTY = Series(np.empty(0), np.empty(0))


class _Points:
    """A growing series; what comes again for a step, as after a resumption, replaces what was there from it on."""

    def __init__(self) -> None:
        self.steps, self.values, self.count = np.empty(64), np.empty(64), 0

    def add(self, step: float, value: float) -> None:
        while self.count and self.steps[self.count - 1] >= step:
            self.count -= 1
        if self.count == MOST_POINTS:
            self.count //= 2
            self.steps[: self.count] = self.steps[1::2]
            self.values[: self.count] = (self.values[::2] + self.values[1::2]) / 2
        elif self.count == len(self.steps):
            self.steps, self.values = np.resize(self.steps, 2 * self.count), np.resize(self.values, 2 * self.count)
        self.steps[self.count], self.values[self.count] = step, value
        self.count += 1

    def all(self) -> Series:
        return Series(self.steps[: self.count], self.values[: self.count])


class Record:
    """What is known of a training. It is a function of what was added, in its order, alone."""

    def __init__(self) -> None:
        self._points: dict[str, _Points] = {}
        self.last_step = 0.0

    def add(self, step: float, name: str, value: float) -> None:
        """Append one value; NaN and infinity are kept, for they are symptoms."""
        if name not in self._points:
            self._points[name] = _Points()
        self._points[name].add(step, value)
        self.last_step = step

    @property
    def names(self) -> list[str]:
        """The names of all series, in the order in which they first came."""
        return list(self._points)

    def raw(self, name: str) -> Series:
        """Return a series with what is not finite in it; empty where there is none of that name."""
        return self._points[name].all() if name in self._points else EMPTY

    def series(self, name: str) -> Series:
        """Return the finite part of a series; empty where there is none of that name."""
        series = self.raw(name)
        finite = np.isfinite(series.values)
        return series if finite.all() else Series(series.steps[finite], series.values[finite])

    def sign(self, name: str) -> Series:
        """Return a vital sign of the samples (see `vital_signs`)."""
        return self.series(f"samples/{name}")

    def loss(self, player: str) -> Series:
        """Return the loss of the "discriminator" or the "generator": the sum of its terms."""
        return self._sum(lambda name: is_loss_of(name, player))

    def gradient_norm(self, player: str) -> Series:
        """Return the gradient norm of the "discriminator" or the "generator"."""
        return self._sum(lambda name: is_gradient_of(name, player))

    def gradient_name(self, player: str) -> str:
        """Return the name of that series, or words for it."""
        return next((name for name in self.names if is_gradient_of(name, player)), f"{player} gradient")

    @property
    def accuracy(self) -> Series:
        """The share of pairs of a real and a fake example that the discriminator tells apart: 0.5 undecided."""
        return self.series(self.accuracy_name)

    @property
    def accuracy_name(self) -> str:
        """The name of that series."""
        known = (name for name in self.names if re.search(r"\b(acc|accuracy)\b", words(name)))
        return next((name for name in known if not name.startswith("score/")), "notes/accuracy")

    def scores(self) -> dict[str, tuple[Series, bool]]:
        """Return the series named like a metric, each with whether lower is better."""
        found = {}
        for name in self.names:
            direction = direction_of(name)
            if direction is not None and len(series := self.series(name)):
                found[name] = (series, direction == "lower")
        return found

    def _sum(self, wanted: Callable[[str], bool]) -> Series:
        parts = [series for name in self.names if wanted(name) and len(series := self.series(name))]
        if len(parts) < 2:
            return parts[0] if parts else EMPTY
        if all(np.array_equal(part.steps, parts[0].steps) for part in parts[1:]):
            return Series(parts[0].steps, np.sum([part.values for part in parts], axis=0))
        steps = parts[0].steps
        for part in parts[1:]:
            steps = np.intersect1d(steps, part.steps, assume_unique=True)
        return Series(steps, np.sum([part.values[np.isin(part.steps, steps)] for part in parts], axis=0))


def words(name: str) -> str:
    """Return a name as lower-case words: Loss_D, d/loss and errD become "loss d", "d loss", "err d"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[a-z]+|\d+", parted.lower()))


def is_loss_of(name: str, player: str) -> bool:
    """Say whether a series is a loss of that player, or a term of it."""
    if name.startswith((f"{player}/", "critic/") if player == "discriminator" else f"{player}/"):
        return not name.endswith("/gradient_norm")
    who = _PLAYERS[player]
    return re.fullmatch(rf"(train )?(({who}) ({_LOSS})|({_LOSS}) ({who})( ({_LOSS}))?)", words(name)) is not None


def is_gradient_of(name: str, player: str) -> bool:
    """Say whether a series is the gradient norm of that player."""
    said = words(name)
    return bool(re.search(r"\bgrad(ient)?s?( norm)?\b", said) and re.search(rf"\b({_PLAYERS[player]})\b", said))


def direction_of(name: str) -> str | None:
    """Return which way is better of a score named like a metric: fid, FID_50k, score/energy-distance; else None."""
    if name.startswith(("samples/", "notes/")):
        return None
    said = words(name.removeprefix("score/").removeprefix("metrics/"))
    for metric, about in METRICS.items():
        if re.match(rf"{metric.replace('-', ' ')}( \d+( k)?)*( full| score| test| train)*$", said):
            return about.direction
    return METRICS[_METRIC_NAMES[said]].direction if said in _METRIC_NAMES else None


def record_of(events: Iterable[tuple[float, str, float]]) -> Record:
    """Make a record of events in their order."""
    record = Record()
    for step, name, value in events:
        record.add(step, name, value)
    return record
