"""The number of statistically different bins (Richardson & Weiss 2018, arXiv:1805.12462).

k-means divides the real examples into bins; in each, the shares of real and of generated examples are compared by a
two-proportion z-test at the level 5 %. The value is the share of bins that differ: about .05 for equal distributions,
near 1 for others. The Jensen-Shannon divergence between both histograms (nats, 0 to log 2) says how much.

Our form differs in that half of the real examples make the bins and the other half fills them: the k-means centres fit
the examples that made them, which alone makes bins "different". Bins where fewer than five examples are expected in
the smaller set are taken as one.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.arrays import Array
from kallima.evaluation.inputs import feature_sets, random_order
from kallima.evaluation.nearest import nearest
from kallima.evaluation.score import Measure

BINS = 100
LEVEL = 0.05
_PER_BIN = 10
_EXPECTED = 5  # in the smaller set: below, the z-test's normal approximation fails
_DRAWS = 500


@dataclass(frozen=True)
class Bins:
    """Counts of real and generated examples by bin, int64 (bins,), rare bins joined, and what they say."""

    real: np.ndarray
    generated: np.ndarray
    different: Measure
    divergence: Measure


def ndb(real: Array, generated: Array, *, bins: int = BINS, seed: int = 0) -> Bins:
    """Bin features or flattened images (N, d), (M, d); `seed` halves the real ones and starts k-means.

    Fewer bins where half of the real examples, or the generated ones, are fewer than ten a bin. Errors are bootstraps
    of the counts, the bins given.

    Raises:
        DataError: there are fewer than 40 real or 20 generated, they do not go together, hold NaN, or the real ones
            never vary.
    """
    truth, samples = feature_sets({"real": real, "generated": generated})
    bins = min(bins, len(truth) // 2 // _PER_BIN, len(samples) // _PER_BIN)
    if bins < 2:
        raise DataError(
            f"{len(truth)} real and {len(samples)} generated examples are too few for bins: "
            f"give {4 * _PER_BIN} and {2 * _PER_BIN} or more"
        )
    order = random_order(truth, torch.Generator().manual_seed(seed))
    half = len(truth) // 2
    centres = _centres(truth[order[:half]], bins, seed).to(truth.device)
    real_counts, generated_counts = (
        np.bincount(nearest(x, centres)[1][:, 0].cpu().numpy(), minlength=len(centres))
        for x in (truth[order[half:]], samples)
    )
    return compare_bins(real_counts, generated_counts, seed=seed)


def compare_bins(real: np.ndarray, generated: np.ndarray, *, seed: int = 0) -> Bins:
    """Compare counts (bins,) of two sets by bin; `seed` draws the bootstrap.

    Raises:
        DataError: the counts are not of as many bins, negative, or one set is empty.
    """
    real, generated = np.asarray(real), np.asarray(generated)
    if real.shape != generated.shape or real.ndim != 1 or min(real.min(), generated.min()) < 0:
        raise DataError(
            f"counts of shapes {real.shape} and {generated.shape}: they need (bins,), 0 or more, both alike"
        )
    n, m = int(real.sum()), int(generated.sum())
    if not n or not m:
        raise DataError("a set without examples has no bins to compare")
    counts, joined = _without_rare(real, generated)
    rng = np.random.default_rng(seed)
    again = rng.multinomial(n, counts[0] / n, _DRAWS), rng.multinomial(m, counts[1] / m, _DRAWS)
    method = f"bootstrap of the counts, {_DRAWS} draws"
    notes: tuple[str, ...] = (f"{counts.shape[1]} bins, {n:,} real and {m:,} generated examples in them",)
    if joined:
        notes = (*notes, f"{joined} of {len(real)} bins are too rare for the test and taken as one")
    different, divergence = different_bins(*counts), jensen_shannon(*counts)
    equal = f"{LEVEL:.0%} of the bins differ between equal distributions"
    return Bins(
        counts[0],
        counts[1],
        Measure(different.mean().item(), different_bins(*again).mean(-1).std(ddof=1).item(), method, (*notes, equal)),
        Measure(divergence.item(), jensen_shannon(*again).std(ddof=1).item(), method, notes),
    )


def _without_rare(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, int]:
    """Return both counts (2, bins), the bins that the test cannot judge made one, and how many these were.

    Rare is decided by both sets together, so that between equal distributions it favours neither difference nor not.
    """
    counts = np.stack([real, generated])
    expected = counts.sum(0) * counts.sum(1).min() / counts.sum()
    rare = expected < _EXPECTED
    if rare.sum() < 2:
        return counts, 0
    return np.concatenate([counts[:, ~rare], counts[:, rare].sum(1, keepdims=True)], 1), int(rare.sum())


def different_bins(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Say of each bin of counts (…, bins) whether the two-proportion z-test finds its shares to differ."""
    n, m = real.sum(-1, keepdims=True), generated.sum(-1, keepdims=True)
    pooled = (real + generated) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    gap = np.abs(real / n - generated / m)
    return gap > _CRITICAL * error


def jensen_shannon(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence, nats, between histograms of counts (…, bins)."""
    p, q = (counts / counts.sum(-1, keepdims=True) for counts in (real, generated))
    middle = (p + q) / 2

    def divergence(shares: np.ndarray) -> np.ndarray:
        ratio = np.divide(shares, middle, out=np.ones_like(middle), where=shares > 0)
        return (shares * np.log(ratio)).sum(-1)

    return np.maximum((divergence(p) + divergence(q)) / 2, 0)


_CRITICAL = math.sqrt(2) * torch.erfinv(torch.tensor(1 - LEVEL, dtype=torch.float64)).item()


def _centres(features: Tensor, bins: int, seed: int) -> Tensor:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = features.double().cpu().numpy()
    distinct = len(np.unique(points, axis=0))
    if distinct < 2:
        raise DataError("the real examples never vary: there are no bins to divide them into")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(min(bins, distinct), n_init=1, random_state=seed).fit(points)
    return torch.from_numpy(found.cluster_centers_)
