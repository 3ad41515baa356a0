"""What is measured of a batch of samples against the data, cheaply enough to be done all through a training.

All distances are Euclidean between raw examples, images above 32 pixels averaged down to that. That says nothing of
beauty, but a collapse, a lost mode or a copy cannot hide from it.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kallima.data.batch import Batch
from kallima.diagnosis.modes import find_modes, missing
from kallima.diagnosis.spectrum import LEAST_SIZE, checkerboard, peaks
from kallima.errors import DataError
from kallima.evaluation.nearest import nearest_other, squared_distances
from kallima.system import Conditional, Samples, System

SAMPLES = 256  # how many are drawn each time, from the same latents
REAL = 512  # real examples they are held against
TRAINED_ON = 2048  # and how many are searched for copies
LARGEST = 32  # pixels
SATURATED = 0.98
NEAR_DUPLICATE = 0.2  # of the data's median distance to the nearest other
OUT_OF_REACH = 0.3  # of the way from a nearest neighbour's distance to that of any two examples
ALIKE = 1e-6  # mean distance of two examples that is none
LEAST_PAIRS = 200  # of examples of one condition
LEAST_WITHIN = 0.1  # their mean distance, over that of any two: below, a condition says all

EXPLAINED = {
    "finite": "share of the samples that are finite",
    "diversity": "mean distance between two samples, over the data's",
    "within": "mean distance between two samples of one condition, over that of two such examples of the data",
    "spread": "median distance of a sample to the nearest other one, over the data's",
    "duplicates": "share of near-duplicates among the samples, beyond the data's",
    "energy": "energy distance between samples and data, over the data's mean distance (0: alike)",
    "forgotten": "share of the data that no sample is near, beyond what chance leaves out",
    "stray": "share of the samples that are not near any of the data, beyond what chance leaves out",
    "deviation": "standard deviation of the samples, over the data's",
    "saturated": "share of outputs beyond ±0.98, beyond the data's",
    "checkerboard": "strength of a pattern of period 2 or 4 pixels, powers of ten beyond the data's",
    "nearest": "median distance of a sample to the nearest training example, over that of unseen data",
    "label_distance": "total variation between the labels of the samples' real neighbours and the data's",
    "missing_labels": "labels with less than a fifth of their share of the samples",
    "missing_modes": "the same of the data's modes, where these lie apart",
    "held_out_gap": "share of pairs whose training example the discriminator scores above the unseen one (0.5: alike)",
    "centre_1": "mean of the samples along the data's first principal axis, in its standard deviations",
    "centre_2": "mean of the samples along the data's second principal axis, in its standard deviations",
    "dead_units": "share of the generator's rectified units that are 0 for every sample",
}
"""The vital signs by name; events.jsonl has them as samples/<name>."""


class Reference:
    """The data that samples are held against, with all of it that need be computed only once.

    `real` are examples as a system sees them: images (N, C, H, W) in [-1, 1] or points (N, D), and `labels` int64 (N,)
    theirs; `told` has what else the data says of the first of them. `complete` says whether they are all that was
    trained on, so that copies can be told; `held_out` were not. Data whose examples are all alike is a measure for
    nothing: of it only "finite" is told.

    Raises:
        DataError: there are fewer than two examples.
    """

    def __init__(
        self,
        real: Tensor,
        *,
        held_out: Tensor | None = None,
        labels: Tensor | None = None,
        told: Batch | None = None,
        complete: bool = False,
    ):
        if len(real) < 2:
            raise DataError(f"samples need two or more real examples to be held against, there are {len(real)}")
        self.shape, self.device = real.shape[1:], real.device
        self.images = real.ndim == 4
        self._all = _flat(real)
        some = self._all[:REAL]
        self._some, self._real, self._held_out, self._told = some, real[:REAL], held_out, told
        self._distances = _distances(some, some)
        self.scale = _mean_of_pairs(self._distances)
        self.alike = bool(self.scale < ALIKE)
        self._reach = nearest_other(some)
        few = some[:SAMPLES]
        self._nearest = nearest_other(few)
        self._near = NEAR_DUPLICATE * self._nearest.median()
        self._deviation = some.var(0).mean().sqrt().clamp_min(1e-12)
        self._saturated = (real[:REAL].abs() > SATURATED).double().mean()
        self._peaks = peaks(real[:REAL]) if self._has_spectrum() else None
        self._unseen = None
        if complete and held_out is not None and len(held_out):
            self._unseen = squared_distances(_flat(held_out), self._all).min(1).values.sqrt().median()
        elif complete:
            self._unseen = nearest_other(self._all).median()
        self._labels = None if labels is None else labels[:REAL]
        self._modes = None if self.alike else find_modes(self._distances)
        if self._modes is not None:
            nearest_known = squared_distances(self._all, some).argmin(1)
            self._in_modes = torch.bincount(self._modes[nearest_known])
        self._by_chance = self._out_of_reach(self._distances[: len(some) // 2, len(some) // 2 :])
        self._axes = self._principal_axes()

    def signs(self, samples: Tensor) -> dict[str, float]:
        """Return the vital signs of samples (N, …) of the shape of the data; only "finite" where some are not.

        Raises:
            DataError: there are fewer than two samples, or they have another shape.
        """
        if len(samples) < 2 or samples.shape[1:] != self.shape:
            raise DataError(f"samples must be two or more of shape {tuple(self.shape)}, not {tuple(samples.shape)}")
        x = _flat(samples)
        finite = x.isfinite().all(1).double().mean().item()
        if finite < 1 or self.alike:
            return {"finite": finite}
        own, across = _distances(x, x), _distances(x, self._some)
        apart = _mean_of_pairs(own)
        to_other = own.fill_diagonal_(torch.inf).min(1).values
        to_real, neighbours = across.min(1)
        lost, stray = self._out_of_reach(across)
        by_chance = self._by_chance
        duplicates = (to_other < self._near).double().mean() - (self._nearest < self._near).double().mean()
        centres = ((x - self._some.mean(0)).mean(0) @ self._axes).tolist()
        found: dict[str, Any] = {
            "finite": 1.0,
            "diversity": apart / self.scale,
            "spread": to_other.median() / self._nearest.median().clamp_min(1e-12),
            "duplicates": duplicates.clamp_min(0),
            "energy": (2 * across.mean() - apart - self.scale) / self.scale,
            "forgotten": ((lost - by_chance[0]) / (1 - by_chance[0])).clamp_min(0),
            "stray": ((stray - by_chance[1]) / (1 - by_chance[1])).clamp_min(0),
            "deviation": x.var(0).mean().sqrt() / self._deviation,
            "centre_1": centres[0],
            "centre_2": centres[1],
        }
        if self.images:
            found["saturated"] = (x.abs() > SATURATED).double().mean() - self._saturated
        if self._peaks is not None:
            found["checkerboard"] = checkerboard(samples, self._peaks)
        if self._unseen is not None:
            beyond = squared_distances(x, self._all[REAL:]).min(1).values.sqrt() if len(self._all) > REAL else to_real
            found["nearest"] = torch.minimum(to_real, beyond).median() / self._unseen.clamp_min(1e-12)
        if self._labels is not None:
            found |= self._label_signs(neighbours)
        if self._modes is not None:
            made = torch.bincount(self._modes[neighbours], minlength=len(self._in_modes))
            found["missing_modes"] = missing(self._in_modes, made)
        return {name: float(value) for name, value in found.items()}

    @torch.no_grad()
    def examine(self, system: System, seed: int) -> dict[str, float]:
        """Draw from a system that is in evaluation mode, always from the same latents, and return the vital signs.

        Neither the default generators nor the system are touched.
        """
        assert isinstance(system, Samples)
        rng, asked = torch.Generator().manual_seed(seed), self._asked_of(system)
        with _rectified(system) as alive:
            if isinstance(system, Conditional) and asked is not None:
                samples = system.sample(SAMPLES, condition=asked, rng=rng)
            else:
                samples = system.sample(SAMPLES, rng=rng)
        found = self.signs(samples.float())
        if asked is not None and found["finite"] == 1 and not self.alike:
            found |= self._within(samples.float(), asked)
        if alive and found["finite"] == 1:
            found["dead_units"] = 1 - float(torch.cat([units.double() for units in alive]).mean())
        judge: Any = getattr(system, "discriminator", None)
        if self._held_out is not None and _takes_examples(judge):
            scores, unseen = judge(self._real[: len(self._held_out)]), judge(self._held_out)
            if scores.ndim == 1 and scores.isfinite().all() and unseen.isfinite().all():
                found["held_out_gap"] = float((scores[:, None] > unseen).double().mean())
        return found

    def _asked_of(self, system: System) -> Tensor | None:
        """Return the conditions (SAMPLES, size) of real examples, in turn; None where the system takes none."""
        if not isinstance(system, Conditional) or self._told is None:
            return None
        if not set(system.conditions.kinds) <= set(self._told.fields):
            return None
        vectors = system.conditions.vectors(self._told)
        return vectors[torch.arange(SAMPLES, device=vectors.device) % len(vectors)]

    def _within(self, samples: Tensor, asked: Tensor) -> dict[str, float]:
        """Compare pairs of samples of one condition with the pairs of real examples that have it."""
        assert self._told is not None
        groups = torch.unique(asked, dim=0, return_inverse=True)[1]
        alike = (groups[:, None] == groups).fill_diagonal_(False)
        there = min(SAMPLES, len(self._told))
        pairs = alike[:there, :there]
        if pairs.sum() < LEAST_PAIRS:
            return {}
        real = self._distances[:there, :there][pairs].mean()
        if real < LEAST_WITHIN * self.scale:
            return {}
        x = _flat(samples)
        return {"within": float(_distances(x, x)[alike].mean() / real)}

    def _out_of_reach(self, across: Tensor) -> tuple[Tensor, Tensor]:
        """Return the share of real examples without a sample near, and of samples without a real example near.

        `across` are the distances of samples to real examples (N, M), the last M that there are.
        """
        reach = self._reach[-across.shape[1] :]
        lost = _excess(across.min(0).values, reach, self.scale) > OUT_OF_REACH
        stray = _excess(across.min(1).values, reach.median(), self.scale) > OUT_OF_REACH
        # a data set of single examples, all equally far apart, has no neighbourhoods to be lost
        return lost.double().mean().clamp_max(0.9), stray.double().mean().clamp_max(0.9)

    def _has_spectrum(self) -> bool:
        return self.images and min(self.shape[-2:]) >= LEAST_SIZE

    def _principal_axes(self) -> Tensor:
        """Return the data's first two axes (D, 2), each divided by the deviation along it; float64."""
        centred = (self._some - self._some.mean(0)).double()
        # the Gram matrix has the side of the examples, the covariance that of the pixels
        values, vectors = (part[..., [-1, -2]] for part in torch.linalg.eigh(centred @ centred.T))
        axes = centred.T @ vectors / (values / len(centred) ** 0.5).clamp_min(1e-12)
        return axes * (values > 1e-9 * values[0])  # data on a line has one axis

    def _label_signs(self, neighbours: Tensor) -> dict[str, Any]:
        assert self._labels is not None
        classes = int(self._labels.max()) + 1
        real = torch.bincount(self._labels, minlength=classes)
        made = torch.bincount(self._labels[neighbours], minlength=classes)
        apart = (made.double() / len(neighbours) - real.double() / len(self._labels)).abs().sum() / 2
        return {"label_distance": apart, "missing_labels": missing(real, made)}


def _flat(examples: Tensor) -> Tensor:
    """Return examples as vectors (N, D) in float64, large images averaged down."""
    if examples.ndim == 4 and max(examples.shape[-2:]) > LARGEST:
        examples = F.adaptive_avg_pool2d(examples, (min(LARGEST, examples.shape[-2]), min(LARGEST, examples.shape[-1])))
    return examples.flatten(1).double()


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return squared_distances(x, y).clamp_min_(0).sqrt_()


def _mean_of_pairs(distances: Tensor) -> Tensor:
    """Return the mean of a square matrix but for its diagonal."""
    count = len(distances)
    return (distances.sum() - distances.diagonal().sum()) / (count * (count - 1))


def _excess(distances: Tensor, neighbour: Tensor, scale: Tensor) -> Tensor:
    """Say where distances lie between that of a nearest neighbour (0) and that of any two examples (1)."""
    return (distances - neighbour) / (scale - neighbour).clamp_min(1e-12)


def _takes_examples(judge: Any) -> bool:
    """Say whether it is a network that scores examples alone."""
    if not isinstance(judge, nn.Module) or isinstance(judge, nn.ModuleList):  # a list of them judges level by level
        return False
    needed = [p for p in inspect.signature(judge.forward).parameters.values() if p.default is p.empty]
    return len(needed) == 1


@contextmanager
def _rectified(system: nn.Module) -> Iterator[list[Tensor]]:
    """Gather, for each ReLU that is run meanwhile, which of its units are above 0 for some example."""
    alive: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        alive.append((output > 0).flatten(2).any(2).any(0) if output.ndim > 2 else (output > 0).any(0))

    handles = [m.register_forward_hook(note) for m in system.modules() if isinstance(m, nn.ReLU)]
    try:
        yield alive
    finally:
        for handle in handles:
            handle.remove()
