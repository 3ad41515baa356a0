"""Inception Score (Salimans et al. 2016, arXiv:1606.03498): exp E KL(p(y|x) ‖ p(y)) of a classifier's probabilities.

High where each image is surely of one class and the classes are many: 1 at least, the number of classes at most. It
never looks at real images, so it sees neither memorisation nor collapse within a class, and its scale is the
classifier's: only Inception's over ImageNet's 1,000 classes are the published numbers.
"""

import math

import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import random_order, tensor_of
from kallima.evaluation.score import Measure

SPLITS = 10


def inception_score(probabilities: Array, *, splits: int = SPLITS, seed: int = 0) -> Measure:
    """Return the mean score of `splits` random parts, as published, of class probabilities (N, classes) of images.

    Fewer splits where they would hold fewer than two images. The error is the standard error of that mean; what
    papers print behind ± is the standard deviation over the splits, and goes into the notes.

    Raises:
        DataError: they are no probabilities of two or more images.
    """
    p = _probabilities(probabilities)
    splits = max(1, min(splits, len(p) // 2))
    order = random_order(p, torch.Generator().manual_seed(seed))
    scores = torch.tensor([_score(part) for part in p[order].tensor_split(splits)], dtype=torch.float64)
    classes = p.shape[1]
    notes = [f"over {classes:,} classes" + (f", {splits} splits" if splits > 1 else "")]
    if len(p) < 10 * classes * splits:
        notes.append(f"{len(p) // splits:,} images a split are few for {classes:,} classes: the score is biased down")
    if splits == 1:
        return Measure(scores.item(), None, None, tuple(notes))
    deviation = scores.std().item()
    notes.append(f"standard deviation over the splits {deviation:.3g}")
    return Measure(
        scores.mean().item(),
        deviation / math.sqrt(splits),
        f"standard error of the mean of {splits} splits",
        tuple(notes),
    )


def _score(p: Tensor) -> float:
    marginal = p.mean(0)
    # xlogy makes 0 log 0 = 0
    divergence = torch.xlogy(p, p).sum(1).mean() - torch.xlogy(marginal, marginal).sum()
    return math.exp(divergence.item())


def _probabilities(given: Array) -> Tensor:
    p = tensor_of(given).double()
    if p.ndim != 2 or p.shape[1] < 2:
        raise DataError(
            f"the probabilities have shape {tuple(p.shape)}, they need (N, classes) with two or more classes"
        )
    if len(p) < 2:
        raise DataError(f"{len(p)} images are too few for an Inception Score: give two or more")
    if not p.isfinite().all():
        raise DataError("the probabilities hold NaN or infinity")
    if p.min() < 0 or (p.sum(1) - 1).abs().max() > 1e-3:
        raise DataError("the probabilities must be 0 or more and sum to 1 for each image: apply a softmax to logits")
    return p / p.sum(1, keepdim=True)
