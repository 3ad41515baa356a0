"""How well clusters are the classes: accuracy of the best one-to-one matching, and normalised mutual information."""

import numpy as np

from kallima.evaluation.arrays import Array, classes
from kallima.evaluation.resampling import jackknifed, share_of
from kallima.evaluation.score import Measure


def clustering_accuracy(labels: Array, clusters: Array) -> Measure:
    """Return the share of examples whose cluster (N,) is matched with their class (N,), one to one at best.

    The matching is the Hungarian algorithm's (Xie et al. 2016, arXiv:1511.06335); it is held fixed for the error.
    Clusters beyond the number of classes match nothing: letting many clusters stand for one class is another figure.

    Raises:
        DataError: these are not classes (N,), one of each for each example.
    """
    from scipy.optimize import linear_sum_assignment

    truth = classes("labels", labels)
    found = classes("clusters", clusters, len(truth))
    table = _contingency(truth, found)
    rows, columns = linear_sum_assignment(table, maximize=True)
    match = np.full(table.shape[1], -1)
    match[columns] = rows
    note = f"{table.shape[1]} clusters matched one to one with {table.shape[0]} classes (Hungarian)"
    return share_of(match[found] == truth, (note,))


def named_accuracy(labels: Array, clusters: Array) -> Measure:
    """Return the share of examples (N,) of the class that is most common in their cluster (N,): many to one.

    More clusters reach more, up to 1 for one cluster an example.

    Raises:
        DataError: as for `clustering_accuracy`.
    """
    truth = classes("labels", labels)
    found = classes("clusters", clusters, len(truth))
    names = _contingency(truth, found).argmax(0)
    note = f"each of {len(names)} clusters is named by its most common class (many to one)"
    return share_of(names[found] == truth, (note,))


def nmi(labels: Array, clusters: Array) -> Measure:
    """Return the mutual information of classes and clusters (N,) over the mean of their entropies: 1 for the same.

    Equal to scikit-learn's default, the arithmetic mean; 1 where both are of one part. Its error is the jackknife's.

    Raises:
        DataError: as for `clustering_accuracy`.
    """
    from sklearn.metrics import normalized_mutual_info_score

    truth = classes("labels", labels)
    found = classes("clusters", clusters, len(truth))
    value = float(normalized_mutual_info_score(truth, found))
    notes = ("over the arithmetic mean of the entropies", "not adjusted for chance: more clusters reach more")
    replicates, held = _without_one(_contingency(truth, found))
    return jackknifed(value, replicates, "examples", notes, held)


def _without_one(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the NMI without one example of each cell that has any, and how many examples each stands for."""
    rows, columns = np.nonzero(table)
    held = table[rows, columns].astype(np.float64)
    count = table.sum() - 1
    if count < 1:
        return np.empty(0), np.empty(0)

    # H = log n − Σ c log c / n, of which deleting one example changes one term
    def entropy(counts: np.ndarray, changed: np.ndarray) -> np.ndarray:
        total = _clogc(counts.astype(np.float64)).sum()
        return np.log(count) - (total - _clogc(changed) + _clogc(changed - 1)) / count

    of_class, of_cluster = table.sum(1), table.sum(0)
    first = entropy(of_class, of_class[rows].astype(np.float64))
    second = entropy(of_cluster, of_cluster[columns].astype(np.float64))
    both = entropy(table[rows, columns], held)
    mean = (first + second) / 2
    constant = mean < 1e-12
    return np.where(constant, 1.0, (first + second - both) / np.where(constant, 1, mean)), held


def _contingency(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return how many examples each class (rows) has in each cluster (columns)."""
    shape = int(truth.max()) + 1, int(found.max()) + 1
    return np.bincount(truth * shape[1] + found, minlength=shape[0] * shape[1]).reshape(shape)


def _clogc(counts: np.ndarray) -> np.ndarray:
    return counts * np.log(np.where(counts > 0, counts, 1))
