"""Means and covariances of any number of features, in float64 and constant memory, by the folds of a jackknife."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """Count, mean (d,) and scatter Σ (x − mean)(x − mean)ᵀ (d, d) of features, in float64."""

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Gather the moments of features (N, d) in blocks."""
        total = cls.none(features.shape[1], features.device)
        for block in features.split(BLOCK):
            total = total.absorb(block)
        return total

    @classmethod
    def none(cls, width: int, device: torch.device | str = "cpu") -> "Moments":
        """The moments of no features of this width."""
        zeros = torch.zeros(width + 1, width, dtype=torch.float64, device=device)
        return cls(0, zeros[0], zeros[1:])

    def absorb(self, features: Tensor) -> "Moments":
        """Add features (n, d), n ≥ 1, and return the result; the tensors of this one are overwritten."""
        features = features.to(self.mean.device).double()
        mean = features.mean(0)
        centred = features - mean
        gap, count = mean - self.mean, self.count + len(features)
        self.scatter.addmm_(centred.T, centred).addr_(gap, gap, alpha=self.count * len(features) / count)
        self.mean.add_(gap, alpha=len(features) / count)
        return Moments(count, self.mean, self.scatter)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        scatter = self.scatter + other.scatter
        return Moments(count, mean, scatter.addr_(gap, gap, alpha=self.count * other.count / count))

    def to(self, device: torch.device | str) -> "Moments":
        """Return the same on a device."""
        return Moments(self.count, self.mean.to(device), self.scatter.to(device))

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (d, d)."""
        return self.scatter / (self.count - 1)


class FoldedMoments:
    """Features taken in block by block: kept while they are fewer than their width, then only their moments by folds.

    The example at position i belongs to fold i mod `FOLDS`, so that folds depend neither on blocks nor on how many
    processes share the work. Memory is that of `FOLDS` d × d matrices, whatever the number of features.
    """

    def __init__(self, width: int, *, device: torch.device | str = "cpu"):
        self.width, self.device = width, torch.device(device)
        self.folds = folds_of(width)
        self.few = max(width, 2 * self.folds)
        """How many features are kept as they are."""
        self.count: int | None = 0
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._pending_rows = 0
        self._parts: list[Moments] | None = None

    @classmethod
    def of(cls, features: Tensor) -> "FoldedMoments":
        """Gather all of features (N, d) held in memory."""
        gathered = cls(features.shape[1], device=features.device)
        gathered.add(features, torch.arange(len(features), device=features.device))
        return gathered

    @classmethod
    def published(cls, mean: Tensor, covariance: Tensor, count: int | None) -> "FoldedMoments":
        """Take moments whose features are not at hand; `count` is None where nobody said it."""
        gathered = cls(len(mean))
        known = count or 2  # any: only the covariance is read
        gathered._parts = [Moments(known, mean.double(), covariance.double() * (known - 1))]
        gathered.count, gathered.folds = count, 1
        return gathered

    def add(self, features: Tensor, positions: Tensor) -> None:
        """Take in features (n, d) of the examples at these positions (n,)."""
        assert self.count is not None
        self.count += len(features)
        if self._parts is None and self.count <= self.few:
            self._pending.append((features.to(self.device), positions.to(self.device)))
            return
        self.fold()
        blocks = zip(features.split(BLOCK), positions.split(BLOCK), strict=True)
        for block in blocks:
            self._pending.append(block)
            self._pending_rows += len(block[0])
            if self._pending_rows >= BLOCK:  # an update of d × d matrices costs as much as hundreds of features
                self._flush()

    def fold(self) -> None:
        """Keep moments only, from now on."""
        if self._parts is None:
            self._parts = [Moments.none(self.width, self.device) for _ in range(self.folds)]
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._pending_rows = self._pending, [], 0
        if not pending:
            return
        assert self._parts is not None
        features = torch.cat([block.to(self.device) for block, _ in pending])
        places = torch.cat([positions.to(self.device) for _, positions in pending]) % self.folds
        for fold in range(self.folds):
            chosen = features[places == fold]
            if len(chosen):
                self._parts[fold] = self._parts[fold].absorb(chosen)

    @property
    def kept(self) -> tuple[Tensor, Tensor] | None:
        """The features (N, d) and positions (N,), in the order of the positions, while they are few; else None."""
        if self._parts is not None:
            return None
        if not self._pending:
            return torch.zeros(0, self.width), torch.zeros(0, dtype=torch.int64)
        features = torch.cat([block for block, _ in self._pending])
        positions = torch.cat([positions for _, positions in self._pending])
        order = positions.argsort()
        return features[order], positions[order]

    @property
    def parts(self) -> list[Moments]:
        """The moments of each fold; what is kept is folded."""
        self.fold()
        self._flush()
        assert self._parts is not None
        return self._parts

    def without(self, fold: int | None, folds: int) -> Moments | Tensor:
        """Return all but one of `folds` parts, or all for None: features (n, d) while n ≤ d, moments otherwise."""
        if (kept := self.kept) is not None:
            features, positions = kept
            rows = features if fold is None else features[positions % folds != fold]
            return rows if len(rows) <= self.width else Moments.of(rows)
        parts = [part for place, part in enumerate(self.parts) if fold is None or place % folds != fold]
        return merged([part for part in parts if part.count])

    def total(self) -> Moments:
        """Return the moments of all."""
        all_of_them = self.without(None, self.folds)
        return Moments.of(all_of_them) if isinstance(all_of_them, Tensor) else all_of_them

    def state(self) -> dict[str, Tensor]:
        """Return tensors from which `restored` builds an equal one."""
        if (kept := self.kept) is not None:
            return {"features": kept[0].cpu(), "positions": kept[1].cpu()}
        rows, columns = torch.triu_indices(self.width, self.width)
        return {
            "counts": torch.tensor([part.count for part in self.parts]),
            "means": torch.stack([part.mean for part in self.parts]).cpu(),
            "scatters": torch.stack([part.scatter[rows, columns] for part in self.parts]).cpu(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> "FoldedMoments":
        """Build one from what `state` gave.

        Raises:
            ValueError, KeyError: the tensors are no such state.
        """
        if "features" in state:
            gathered = cls(state["features"].shape[1])
            gathered.add(state["features"], state["positions"])
            return gathered
        counts, means, scatters = state["counts"], state["means"], state["scatters"]
        gathered = cls(means.shape[1])
        rows, columns = torch.triu_indices(gathered.width, gathered.width)
        if scatters.shape != (gathered.folds, len(rows)) or len(counts) != len(means) or len(means) != gathered.folds:
            raise ValueError("these are no moments by folds")
        gathered._parts = []
        for count, mean, triangle in zip(counts.tolist(), means, scatters, strict=True):
            scatter = torch.zeros(gathered.width, gathered.width, dtype=torch.float64)
            scatter[rows, columns] = triangle
            scatter[columns, rows] = triangle
            gathered._parts.append(Moments(count, mean.clone(), scatter))
        gathered.count = int(counts.sum())
        return gathered

    @classmethod
    def from_parts(cls, parts: Sequence[Moments]) -> "FoldedMoments":
        """Build one from the moments of all folds."""
        gathered = cls(len(parts[0].mean), device=parts[0].mean.device)
        gathered._parts, gathered.count = list(parts), sum(part.count for part in parts)
        return gathered


def folds_of(width: int) -> int:
    """Return how many folds features of this width have: each costs a trace, seconds at d = 2048."""
    return 10 if width <= 256 else 5


def merged(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all parts together."""
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total
