"""Perplexity: the exponential of the mean negative log-probability of a token, under a model of one's choice."""

import math
from collections.abc import Sequence

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, alike, numbers
from kallima.evaluation.resampling import jackknifed
from kallima.evaluation.score import Measure


def perplexity(log_probabilities: Sequence[Array], *, units: Sequence[int] | None = None) -> Measure:
    """Return exp(−Σ log p / number of tokens) of texts, each given as the natural log-probabilities of its tokens (T,).

    Of generated texts under a reference model it says how likely they are, of real texts how good a model is. Tokens of
    unlike vocabularies do not compare: give `units`, how many words (or characters) each text has, to divide by these.
    The error is the jackknife's over texts.

    Raises:
        DataError: there are no texts, a text has no tokens, a log-probability is above 0, NaN or −∞, or counts differ.
    """
    if not len(log_probabilities):
        raise DataError("there are no texts")
    given = [numbers(f"log-probabilities of text {i}", values, 1) for i, values in enumerate(log_probabilities)]
    for i, values in enumerate(given):
        if values.max() > 1e-6:
            raise DataError(f"text {i} has a log-probability of {values.max():.3g}: they are 0 or less")
    sums = np.array([values.sum() for values in given])
    tokens = np.array([len(values) for values in given], dtype=np.float64)
    counts, unit = tokens, "token"
    if units is not None:
        alike("units", len(units), "texts", len(given))
        counts, unit = numbers("units", units, 1), "unit given"
        if counts.min() <= 0:
            raise DataError("every text needs one unit or more")
    value = math.exp(-sums.sum() / counts.sum())
    left = counts.sum() - counts
    replicates = np.exp(-(sums.sum() - sums) / left) if len(given) > 1 else np.empty(0)
    return jackknifed(value, replicates, "texts", (f"a {unit}, over {int(counts.sum()):,} of {len(given):,} texts",))
