"""F1 of several labels at once: over all decisions, over labels, over examples."""

from typing import NamedTuple

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, as_numpy
from kallima.evaluation.resampling import jackknifed, mean_of
from kallima.evaluation.score import Measure


class MultilabelF1(NamedTuple):
    """F1 = 2 TP / (2 TP + FP + FN), three ways.

    `micro` counts all decisions together, `macro` is the mean over labels, `example` the mean over examples.
    """

    micro: Measure
    macro: Measure
    example: Measure


def multilabel_f1(predicted: Array, labels: Array) -> MultilabelF1:
    """Return the F1 of predicted labels (N, L) for true ones (N, L), yes or no each.

    An example without labels of which none is predicted counts as 1; a label that is never true nor predicted is left
    out of the macro mean, and counted in the notes. Probabilities need a threshold first, chosen on validation data.

    Raises:
        DataError: the shapes differ, a value is no yes or no, or nothing at all is true or predicted.
    """
    found, truth = _decisions("predicted labels", predicted), _decisions("labels", labels)
    if found.shape != truth.shape:
        raise DataError(f"predicted labels have shape {found.shape}, the labels {truth.shape}")
    right, decided = found & truth, found.astype(np.int64) + truth  # 2 TP + FP + FN counts both sides
    if not decided.any():
        raise DataError("no label is true or predicted: F1 is undefined")
    hits, both = right.sum(0), decided.sum(0)
    own_hits, own_both = right.sum(1), decided.sum(1)
    with np.errstate(invalid="ignore"):
        micro_left = 2 * (hits.sum() - own_hits) / (both.sum() - own_both)
    macro_left = np.array([_macro(hits - h, both - b) for h, b in zip(right, decided, strict=True)])
    example = np.where(own_both > 0, 2 * own_hits / np.maximum(own_both, 1), 1.0)
    unused, bare = int((both == 0).sum()), int((own_both == 0).sum())
    return MultilabelF1(
        jackknifed(float(2 * hits.sum() / both.sum()), micro_left, "examples"),
        jackknifed(
            _macro(hits, both),
            macro_left,
            "examples",
            (f"{unused} labels that are never true nor predicted are left out",) if unused else (),
        ),
        mean_of(example, "examples", (f"{bare} examples with nothing true or predicted count as 1",) if bare else ()),
    )


def _macro(hits: np.ndarray, both: np.ndarray) -> float:
    used = both > 0
    return float((2 * hits[used] / both[used]).mean()) if used.any() else float("nan")


def _decisions(name: str, given: Array) -> np.ndarray:
    array = as_numpy(given)
    if array.ndim != 2 or not array.size:
        raise DataError(f"the {name} have shape {array.shape}, they need (N, L)")
    if array.dtype.kind not in "iub" or not np.isin(array, (0, 1)).all():
        raise DataError(f"the {name} need to be yes or no: True and False, or 1 and 0")
    return array.astype(bool)
