"""distinct-n (Li et al. 2016, arXiv:1510.03055): how many of the n-grams of a corpus differ."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kallima.errors import DataError, UsageError
from kallima.evaluation.arrays import texts
from kallima.evaluation.resampling import jackknifed
from kallima.evaluation.score import Measure


def distinct(generated: Sequence[str], n: int, *, lowercase: bool = False) -> Measure:
    """Return different n-grams over all n-grams of texts, words being split at blanks: 1 where none comes twice.

    More or longer texts reach less, so only figures of one number of words compare; the notes say it. The error is the
    jackknife's over texts.

    Raises:
        UsageError: n is below 1.
        DataError: there are no texts, one is empty, or none has n words.
    """
    if n < 1:
        raise UsageError(f"distinct-{n} is none: n is 1 or more")
    words = [(text.lower() if lowercase else text).split() for text in texts("generated texts", generated)]
    grams = [Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in words]
    totals = np.array([sum(one.values()) for one in grams])
    total = int(totals.sum())
    if not total:
        raise DataError(f"no text has {n} words: distinct-{n} is undefined")
    holders = Counter(gram for one in grams for gram in one)
    own = np.array([sum(holders[gram] == 1 for gram in one) for one in grams])  # n-grams that no other text has
    case = "lower case" if lowercase else "case kept"
    notes = (f"of {total:,} {n}-grams in {len(words):,} texts, split at blanks, {case}",)
    left = total - totals
    replicates = np.where(left > 0, (len(holders) - own) / np.maximum(left, 1), np.nan)
    return jackknifed(len(holders) / total, replicates, "texts", notes)
