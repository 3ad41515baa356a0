"""Retrieval: mean average precision and precision at k of ranked lists, and the cosine similarities to rank by."""

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, as_numpy, numbers
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure


def mean_average_precision(scores: Array, relevant: Array) -> Measure:
    """Return the mean over Q queries of the average precision of N items ranked by score (Q, N), high first.

    `relevant` (Q, N) says what should be found. Items of one score enter the list together, as scikit-learn has it, so
    that their order is nothing. Queries for which nothing is relevant are left out, and counted in the notes.

    Raises:
        DataError: the shapes differ, a score is NaN, relevance is no yes or no, or no query has a relevant item.
    """
    from sklearn.metrics import average_precision_score

    similarity, truth, notes = _ranked(scores, relevant)
    values = np.array([average_precision_score(t, s) for t, s in zip(truth, similarity, strict=True)])
    notes.append(f"chance is about {truth.mean():.3g}")
    return mean_of(values, "queries", notes)


def precision_at(scores: Array, relevant: Array, k: int) -> Measure:
    """Return the mean over Q queries of the share of relevant items among the k of highest score, (Q, N) each.

    Where items of one score straddle the k-th place, their mean over all orders counts. Where a query has fewer than k
    relevant items, 1 is out of reach.

    Raises:
        DataError: as for `mean_average_precision`, or there are fewer than k items.
    """
    similarity, truth, notes = _ranked(scores, relevant)
    if not 1 <= k <= similarity.shape[1]:
        raise DataError(f"precision at {k} of {similarity.shape[1]} items is undefined")
    threshold = -np.sort(-similarity, axis=1)[:, k - 1 : k]
    above, level = similarity > threshold, similarity == threshold
    places = k - above.sum(1)
    values = ((above & truth).sum(1) + places * (level & truth).sum(1) / level.sum(1)) / k
    notes.append(f"k = {k}, chance is about {truth.mean():.3g}")
    return mean_of(values, "queries", notes)


def cosine_similarities(queries: Array, items: Array) -> np.ndarray:
    """Return the cosine of queries (Q, d) and items (N, d), float64 (Q, N).

    Raises:
        DataError: they are broken, of unlike dimensions, or one is all zeros.
    """
    first, second = numbers("queries", queries, 2), numbers("items", items, 2)
    if first.shape[1] != second.shape[1]:
        raise DataError(f"the queries have {first.shape[1]} dimensions, the items {second.shape[1]}")
    norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second)]
    if min(n.min() for n in norms) == 0:
        raise DataError("a query or item is all zeros: it has no direction")
    return (first / norms[0]) @ (second / norms[1]).T


def _ranked(scores: Array, relevant: Array) -> tuple[np.ndarray, np.ndarray, list[str]]:
    similarity, given = numbers("scores of queries", scores, 2), as_numpy(relevant)
    if given.shape != similarity.shape:
        raise DataError(f"relevance has shape {given.shape}, the scores have {similarity.shape}")
    if given.dtype.kind not in "iub" or not np.isin(given, (0, 1)).all():
        raise DataError("relevance needs to be yes or no for each item: True and False, or 1 and 0")
    truth = given.astype(bool)
    asked = truth.sum(1) > 0
    if not asked.any():
        raise DataError("no query has a relevant item")
    notes = []
    if not asked.all():
        notes.append(f"{int((~asked).sum())} of {len(asked)} queries have no relevant item and are left out")
    return similarity[asked], truth[asked], notes
