"""BLEU (Papineni et al. 2002) through sacrebleu (Post 2018, arXiv:1804.08771), and self-BLEU (Zhu et al. 2018,
arXiv:1802.01886), with the protocol said: tokenisation, case and smoothing move the figure by several points.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from kallima.errors import DataError, UsageError, import_extra
from kallima.evaluation.arrays import alike, texts
from kallima.evaluation.resampling import jackknifed, mean_of
from kallima.evaluation.score import Measure

Tokens = Literal["13a", "intl", "char", "none"]
"""sacrebleu's tokenisations; "none" splits at blanks what was tokenised before."""

Smoothing = Literal["exp", "floor", "add-k", "none"]
"""What stands for a precision of zero matches; sacrebleu's names."""


def bleu(
    generated: Sequence[str],
    references: Sequence[str | Sequence[str]],
    *,
    order: int = 4,
    tokens: Tokens = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
) -> Measure:
    """Return the BLEU, 0 to 100, of N texts against one reference or several each; its error is the jackknife's.

    It is the corpus's: matches are summed over texts before they are divided, not a mean of texts' scores. By default
    as sacrebleu has it, which is what papers since 2018 print.

    Raises:
        UsageError: sacrebleu is not installed, or it has no such tokenisation or smoothing.
        DataError: there are no texts, a reference is empty, or counts differ.
    """
    metric = _metric(order, tokens, lowercase, smoothing)
    hypotheses = texts("generated texts", generated, empty=True)
    alike("references", len(references), "generated texts", len(hypotheses))
    truths = [texts(f"references[{i}]", [r] if isinstance(r, str) else r) for i, r in enumerate(references)]
    # the statistics of single texts sum up to the corpus's; add-k would change them
    counter = _metric(order, tokens, lowercase, "none")
    each = [counter.sentence_score(h, r) for h, r in zip(hypotheses, truths, strict=True)]
    statistics = np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in each])
    notes = [_protocol(order, tokens, lowercase, smoothing), _version()]
    several = sorted({len(r) for r in truths})
    if several != [1]:
        notes.append(f"{' to '.join(str(n) for n in sorted({several[0], several[-1]}))} references a text")
    return _of_corpus(metric, statistics, order, smoothing, notes)


def set_bleu(
    generated: Sequence[str],
    references: Sequence[str],
    *,
    order: int = 4,
    tokens: Tokens = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
) -> Measure:
    """Return the BLEU, 0 to 100, of N texts that all have the same M references, as generation without a source has it.

    It is `bleu` with every reference given to every text (Yu et al. 2017, arXiv:1609.05473), the corpus's, in time that
    grows with the number of words and not with N × M. More references are matched more often: only figures of one
    number of them compare. The error is the jackknife's over generated texts.

    Raises:
        UsageError: as for `bleu`.
        DataError: there are no texts, or a reference is empty.
    """
    metric = _metric(order, tokens, lowercase, smoothing)
    hypotheses = _words(metric, texts("generated texts", generated, empty=True), lowercase)
    truths = _words(metric, texts("references", references), lowercase)
    most: Counter[tuple[str, ...]] = Counter()
    for words in truths:
        most |= _ngrams(words, order)
    lengths = sorted(set(map(len, truths)))
    rows = []
    for own in hypotheses:
        matches = [0] * order
        for gram, count in _ngrams(own, order).items():
            matches[len(gram) - 1] += min(count, most[gram])
        totals = [max(len(own) - n, 0) for n in range(order)]
        rows.append([*matches, *totals, len(own), _closest(lengths, len(own))])
    notes = (
        _protocol(order, tokens, lowercase, smoothing),
        f"each text against all {len(truths):,} references",
        _version(),
    )
    return _of_corpus(metric, np.array(rows), order, smoothing, notes)


def self_bleu(
    generated: Sequence[str],
    *,
    order: int = 4,
    tokens: Tokens = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
) -> Measure:
    """Return the mean BLEU, 0 to 100, of each text with all others as its references: 100 for copies, low is diverse.

    More texts reach more, so only figures of one number of texts compare. Every n-gram is looked up once: the work
    grows with the number of words, not with its square. Texts shorter than `order` words have fewer orders.

    Raises:
        UsageError: as for `bleu`.
        DataError: there are fewer than two texts, or one is empty.
    """
    metric = _metric(order, tokens, lowercase, smoothing)
    found = texts("generated texts", generated)
    if len(found) < 2:
        raise DataError("one text has no others to be like: self-BLEU needs two or more")
    words = _words(metric, found, lowercase)
    counts = [_ngrams(w, order) for w in words]
    most = _two_most(counts)
    lengths = Counter(map(len, words))
    scores = []
    for i, (own, grams) in enumerate(zip(words, counts, strict=True)):
        matches, totals = [0] * order, [max(len(own) - n, 0) for n in range(order)]
        for gram, count in grams.items():
            owner, first, second = most[gram]
            matches[len(gram) - 1] += min(count, second if owner == i else first)
        lengths[len(own)] -= 1
        closest = _closest((length for length, left in lengths.items() if left), len(own))
        lengths[len(own)] += 1
        made = metric.compute_bleu(
            matches,
            totals,
            len(own),
            closest,
            smooth_method=smoothing,
            smooth_value=metric.smooth_value,
            effective_order=True,
            max_ngram_order=order,
        )
        scores.append(made.score)
    notes = (
        _protocol(order, tokens, lowercase, smoothing),
        f"each of {len(found):,} texts against the {len(found) - 1:,} others, which its error holds fixed",
        _version(),
    )
    return mean_of(np.array(scores), "texts", notes)


def _metric(order: int, tokens: str, lowercase: bool, smoothing: str) -> Any:
    if order < 1:
        raise UsageError(f"BLEU of {order}-grams is none: the order is 1 or more")
    library = import_extra("sacrebleu.metrics", "text")
    methods, tokenisations = ("exp", "floor", "add-k", "none"), ("13a", "intl", "char", "none")
    if tokens not in tokenisations:
        raise UsageError(f"no tokenisation '{tokens}'; there are {', '.join(tokenisations)}")
    if smoothing not in methods:
        raise UsageError(f"no smoothing '{smoothing}'; there are {', '.join(methods)}")
    # with effective order a text shorter than `order` makes no warning; the counts are the same
    return library.BLEU(
        lowercase=lowercase,
        tokenize=tokens,
        smooth_method=smoothing,
        max_ngram_order=order,
        effective_order=True,
        force=True,
    )


def _of_corpus(metric: Any, statistics: np.ndarray, order: int, smoothing: str, notes: Sequence[str]) -> Measure:
    """Return the corpus's BLEU of the statistics of single texts (N, 2 · order + 2), which sum up."""

    def score(sums: np.ndarray) -> float:
        values = [int(v) for v in sums]
        return float(
            metric.compute_bleu(
                values[:order],
                values[order : 2 * order],
                *values[2 * order :],
                smooth_method=smoothing,
                smooth_value=metric.smooth_value,
                max_ngram_order=order,
            ).score
        )

    total = statistics.sum(0)
    replicates = np.array([score(total - one) for one in statistics]) if len(statistics) > 1 else np.empty(0)
    return jackknifed(score(total), replicates, "texts", notes)


def _words(metric: Any, given: Sequence[str], lowercase: bool) -> list[list[str]]:
    return [metric.tokenizer(text.lower() if lowercase else text).split() for text in given]


def _closest(lengths: Iterable[int], own: int) -> int:
    """Return the length nearest to a text's own, of two the shorter."""
    return min(lengths, key=lambda length: (abs(length - own), length))


def _protocol(order: int, tokens: str, lowercase: bool, smoothing: str) -> str:
    case = "lower case" if lowercase else "case kept"
    return f"up to {order}-grams, tokens {tokens}, {case}, smoothing {smoothing}"


def _version() -> str:
    return f"sacrebleu {import_extra('sacrebleu', 'text').__version__}"


def _ngrams(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1))


def _two_most(counts: list[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Return for each n-gram the text that has it most often, how often, and how often any other has it at most."""
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for i, grams in enumerate(counts):
        for gram, count in grams.items():
            owner, first, second = most.get(gram, (-1, 0, 0))
            most[gram] = (i, count, first) if count > first else (owner, first, max(second, count))
    return most
