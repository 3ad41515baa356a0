"""Nearest neighbours in the training set: does the generator repeat what it learned from?

A generated image is suspect where it lies closer to its nearest training image than all but a share q of held-out real
images do to theirs. A generator as new as fresh data has a rate of about q, one that copies a rate of 1, one whose
images are unlike all data a rate of 0: read it beside precision. A rate alone says nothing without that control, since
the nearest training image is always near in some dimension (Meehan et al. 2020, arXiv:2004.05675, compare alike).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import feature_sets, image_sets
from kallima.evaluation.nearest import nearest
from kallima.evaluation.score import Measure

QUANTILE = 0.05
_DRAWS = 500


def memorisation(
    generated: Array, training: Array, held_out: Array, *, quantile: float = QUANTILE, seed: int = 0
) -> Measure:
    """Return the share of generated features (M, d) nearer to training ones (N, d) than the control's q-quantile.

    `held_out` (H, d) are features of real examples that were not trained on, from the same distribution. The error is
    a bootstrap over generated and held-out examples.

    Raises:
        DataError: the sets do not go together, have fewer than two examples, or hold NaN.
    """
    assert 0 < quantile < 1
    training, generated, control = feature_sets({"training": training, "generated": generated, "held-out": held_out})
    ours, theirs = (nearest(x, training)[0][:, 0].cpu().sort().values for x in (generated, control))
    threshold = _quantile(theirs, quantile)
    value = _share_within(ours, threshold)
    rng = torch.Generator().manual_seed(seed)
    replicates = []
    for _ in range(_DRAWS):
        control_again, ours_again = (x[torch.randint(len(x), (len(x),), generator=rng)] for x in (theirs, ours))
        replicates.append(_share_within(ours_again, _quantile(control_again, quantile)))
    spread = torch.tensor(replicates, dtype=torch.float64).std().item()
    notes = [
        f"nearer to a training image than {quantile:.0%} of {len(theirs):,} held-out images are: "
        f"{quantile:.0%} is what fresh data has"
    ]
    if (copies := int((ours == 0).sum())) > 0:
        notes.append(f"{copies:,} of {len(ours):,} generated images are exact copies in these features")
    if (same := _share_within(theirs, threshold)) > 1.5 * quantile:
        notes.append(f"many held-out images are as near as the quantile: {same:.1%} of them count too")
    if len(theirs) * quantile < 5:
        notes.append(f"{len(theirs):,} held-out images are few for their {quantile:.0%} quantile")
    return Measure(value, spread, f"bootstrap of generated and held-out examples, {_DRAWS} draws", tuple(notes))


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


def nearest_training(generated: Array, training: Array, *, count: int = 3, rows: int | None = None) -> Neighbours:
    """Return the `count` nearest training features (N, d) of each of (M, d) generated ones, nearest pairs first.

    At most `rows` generated examples, by default all.

    Raises:
        DataError: the sets do not go together, or hold NaN.
    """
    references, queries = feature_sets({"training": training, "generated": generated}, 1)
    distances, indices = nearest(queries, references, min(count, len(references)))
    order = distances[:, 0].argsort(stable=True)[:rows]
    return Neighbours(order, indices[order], distances[order])


def _quantile(ascending: Tensor, quantile: float) -> float:
    """Return the smallest value that at least this share lies at or below, of values in any order."""
    rank = max(1, -int(-quantile * len(ascending) // 1))
    return ascending.kthvalue(rank).values.item()


def _share_within(distances: Tensor, threshold: float) -> float:
    return (distances <= threshold).double().mean().item()
