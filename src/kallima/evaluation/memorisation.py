"""Nearest neighbours in the training set: does the generator repeat what it learned from?

A generated image is suspect where it lies closer to its nearest training image than all but a share q of held-out real
images do to theirs. A generator as new as fresh data has a rate of about q, one that copies a rate of 1, one whose
images are unlike all data a rate of 0: read it beside precision. A rate alone says nothing without that control, since
the nearest training image is always near in some dimension (Meehan et al. 2020, arXiv:2004.05675, compare alike).
All training images are looked at, block by block: of a sample of them most copies would have no original.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import feature_sets, image_sets
from kallima.evaluation.nearest import Search
from kallima.evaluation.processes import Processes
from kallima.evaluation.score import Measure

QUANTILE = 0.05
NEIGHBOURS = 3
_DRAWS = 500


class TrainingSearch:
    """Looks for what generated and held-out examples are near to among training ones, which come block by block.

    `generated` (M, d) and `held_out` (H, d) are features; `seen` counts the training examples that were looked at.
    """

    def __init__(self, generated: Tensor, held_out: Tensor, count: int = NEIGHBOURS):
        self._generated, self._held_out, self.seen = Search(generated, count), Search(held_out), 0

    def look(self, training: Tensor, indices: Tensor) -> None:
        """Look among training features (N, d) of the examples at these indices (N,)."""
        self._generated.look(training, indices)
        self._held_out.look(training, indices)
        self.seen += len(training)

    def join(self, processes: Processes) -> None:
        """Let every process know what all of them have found."""
        self._generated.join(processes)
        self._held_out.join(processes)
        self.seen = processes.total(self.seen)

    def memorisation(self, *, quantile: float = QUANTILE, seed: int = 0) -> Measure:
        """Return the share of generated examples nearer to a training one than the q-quantile of the held-out."""
        assert 0 < quantile < 1
        ours, theirs = (found.distances[:, 0].cpu().sort().values for found in (self._generated, self._held_out))
        threshold = _quantile(theirs, quantile)
        value = _share_within(ours, threshold)
        rng = torch.Generator().manual_seed(seed)
        replicates = []
        for _ in range(_DRAWS):
            control_again, ours_again = (x[torch.randint(len(x), (len(x),), generator=rng)] for x in (theirs, ours))
            replicates.append(_share_within(ours_again, _quantile(control_again, quantile)))
        spread = torch.tensor(replicates, dtype=torch.float64).std().item()
        notes = [
            f"nearer to one of {self.seen:,} training images than {quantile:.0%} of {len(theirs):,} held-out images "
            f"are: {quantile:.0%} is what fresh data has"
        ]
        if (copies := int((ours == 0).sum())) > 0:
            notes.append(f"{copies:,} of {len(ours):,} generated images are exact copies in these features")
        if (same := _share_within(theirs, threshold)) > 1.5 * quantile:
            notes.append(f"many held-out images are as near as the quantile: {same:.1%} of them count too")
        if len(theirs) * quantile < 5:
            notes.append(f"{len(theirs):,} held-out images are few for their {quantile:.0%} quantile")
        return Measure(value, spread, f"bootstrap of generated and held-out examples, {_DRAWS} draws", tuple(notes))

    def neighbours(self, rows: int | None = None) -> "Neighbours":
        """Return the nearest training examples of generated ones, nearest pairs first, of at most `rows` of them."""
        return _nearest_first(self._generated, self.seen, rows)


def memorisation(
    generated: Array, training: Array, held_out: Array, *, quantile: float = QUANTILE, seed: int = 0
) -> Measure:
    """Return the share of generated features (M, d) nearer to training ones (N, d) than the control's q-quantile.

    `held_out` (H, d) are features of real examples that were not trained on, from the same distribution. The error is
    a bootstrap over generated and held-out examples.

    Raises:
        DataError: the sets do not go together, have fewer than two examples, or hold NaN.
    """
    training, generated, control = feature_sets({"training": training, "generated": generated, "held-out": held_out})
    search = TrainingSearch(generated, control, 1)
    search.look(training, torch.arange(len(training)))
    return search.memorisation(quantile=quantile, seed=seed)


@dataclass(frozen=True)
class Neighbours:
    """Generated examples with their nearest training ones: what a picture of them shows, most suspect first.

    `generated` (R,) are indices of generated examples, `training` (R, k) those of their nearest training examples and
    `distances` (R, k) float64 how far they are, each row ascending.
    """

    generated: Tensor
    training: Tensor
    distances: Tensor

    def picture(self, generated: Array, training: Array) -> Tensor:
        """Return images uint8 (R, 1 + k, H, W, C): each generated one of (M, H, W, C), then its nearest ones.

        Raises:
            DataError: the images are not uint8 of one size.
        """
        ours, theirs = image_sets({"generated": generated, "training": training}, 1)
        near = theirs[self.training.to(theirs.device)].to(ours.device)
        return torch.cat([ours[self.generated.to(ours.device)][:, None], near], 1)


def nearest_training(
    generated: Array, training: Array, *, count: int = NEIGHBOURS, rows: int | None = None
) -> Neighbours:
    """Return the `count` nearest training features (N, d) of each of (M, d) generated ones, nearest pairs first.

    At most `rows` generated examples, by default all.

    Raises:
        DataError: the sets do not go together, or hold NaN.
    """
    references, queries = feature_sets({"training": training, "generated": generated}, 1)
    search = Search(queries, count)
    search.look(references, torch.arange(len(references)))
    return _nearest_first(search, len(references), rows)


def _nearest_first(search: Search, seen: int, rows: int | None) -> Neighbours:
    order = search.distances[:, 0].argsort(stable=True)[:rows]
    return Neighbours(order, search.indices[order, :seen], search.distances[order, :seen])


def _quantile(ascending: Tensor, quantile: float) -> float:
    """Return the smallest value that at least this share lies at or below, of values in any order."""
    rank = max(1, -int(-quantile * len(ascending) // 1))
    return ascending.kthvalue(rank).values.item()


def _share_within(distances: Tensor, threshold: float) -> float:
    return (distances <= threshold).double().mean().item()
