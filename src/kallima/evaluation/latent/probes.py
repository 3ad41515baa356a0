"""What a frozen code tells of the labels: accuracy of a linear classifier and of nearest neighbours on it."""

import warnings

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, alike, as_numpy, classes, numbers
from kallima.evaluation.resampling import share_of
from kallima.evaluation.score import Measure

NEIGHBOURS = 5
_ITERATIONS = 1000


def linear_probe(codes: Array, labels: Array, test_codes: Array, test_labels: Array, *, c: float = 1.0) -> Measure:
    """Return the accuracy on test codes (M, d) of a logistic regression learnt from codes (N, d) and labels (N,).

    Codes are standardised by the mean and deviation of those learnt from; `c` is the inverse strength of the L2
    penalty, not tuned on the test.

    Raises:
        DataError: codes or labels are broken or of unlike counts, or there is one class alone.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x, y, test_x, test_y = _sets(codes, labels, test_codes, test_labels)
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation == 0] = 1
    model = LogisticRegression(C=c, max_iter=_ITERATIONS)
    notes = [f"logistic regression on standardised codes, C = {c:g}, learnt from {len(x):,}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - mean) / deviation, y)
    if int(np.max(model.n_iter_)) >= _ITERATIONS:
        notes.append(f"not converged in {_ITERATIONS:,} iterations")
    return share_of(model.predict((test_x - mean) / deviation) == test_y, notes)


def knn_accuracy(
    codes: Array, labels: Array, test_codes: Array, test_labels: Array, *, neighbours: int = NEIGHBOURS
) -> Measure:
    """Return the accuracy on test codes (M, d) of a majority vote of the nearest codes (N, d), by Euclidean distance.

    Raises:
        DataError: as for `linear_probe`, or there are fewer codes than neighbours.
    """
    from sklearn.neighbors import KNeighborsClassifier

    x, y, test_x, test_y = _sets(codes, labels, test_codes, test_labels)
    if not 1 <= neighbours <= len(x):
        raise DataError(f"{neighbours} neighbours cannot be found among {len(x)} codes")
    model = KNeighborsClassifier(neighbours).fit(x, y)
    note = f"k = {neighbours} nearest of {len(x):,} codes, Euclidean, votes count alike"
    return share_of(model.predict(test_x) == test_y, (note,))


def _sets(
    codes: Array, labels: Array, test_codes: Array, test_labels: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, test_x = numbers("codes", codes, 2), numbers("test codes", test_codes, 2)
    if x.shape[1] != test_x.shape[1]:
        raise DataError(f"the codes have {x.shape[1]} dimensions, the test codes {test_x.shape[1]}")
    alike("labels", len(labels), "codes", len(x))
    alike("test labels", len(test_labels), "test codes", len(test_x))
    # one numbering for both
    y = classes("labels", np.concatenate([as_numpy(labels), as_numpy(test_labels)]))
    if len(np.unique(y[: len(x)])) < 2:
        raise DataError("the labels are of one class: there is nothing to tell apart")
    return x, y[: len(x)], test_x, y[len(x) :]
