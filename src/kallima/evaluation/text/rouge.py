"""ROUGE (Lin 2004) through rouge-score, with its protocol said."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from kallima.errors import DataError, UsageError, import_extra
from kallima.evaluation.arrays import alike, texts
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

Kind = Literal["rouge1", "rouge2", "rougeL", "rougeLsum"]
KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class _UnicodeWords:
    """Words of any script, in lower case."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())


def rouge(
    generated: Sequence[str],
    references: Sequence[str | Sequence[str]],
    kind: Kind = "rougeL",
    *,
    stem: bool = False,
    ascii_only: bool = True,
) -> Measure:
    """Return the mean F1, 0 to 1, of n-grams, or the longest subsequence, that N texts share with their references.

    Of several references the best counts. `stem` applies Porter's stemmer, as most summarisation papers do. rouge-score
    knows only the letters a to z and digits, in lower case; `ascii_only=False` takes words of any script, unstemmed.

    Raises:
        UsageError: rouge-score is not installed, there is no such kind, or stems of any script are asked for.
        DataError: there are no texts, a reference is empty or has no word that counts, or counts differ.
    """
    if kind not in KINDS:
        raise UsageError(f"no ROUGE '{kind}'; there are {', '.join(KINDS)}")
    if stem and not ascii_only:
        raise UsageError("the stemmer is for English: stem with ascii_only=True")
    library = import_extra("rouge_score.rouge_scorer", "text")
    hypotheses = texts("generated texts", generated, empty=True)
    alike("references", len(references), "generated texts", len(hypotheses))
    truths = [texts(f"references[{i}]", [r] if isinstance(r, str) else r) for i, r in enumerate(references)]
    pattern = r"[a-z0-9]" if ascii_only else r"\w"
    for i, several in enumerate(truths):
        for reference in several:
            if not re.search(pattern, reference.lower()):
                remedy = ": give ascii_only=False" if ascii_only and re.search(r"\w", reference) else ""
                raise DataError(f"references[{i}] has no word that counts{remedy}")
    scorer = library.RougeScorer([kind], use_stemmer=stem, tokenizer=None if ascii_only else _UnicodeWords())
    scores = [scorer.score_multi(r, h)[kind].fmeasure for h, r in zip(hypotheses, truths, strict=True)]
    words = "words of a-z and 0-9" if ascii_only else "words of any script"
    stems = "Porter stems" if stem else "no stemming"
    return mean_of(np.array(scores), "texts", (f"{kind} F1, {words} in lower case, {stems}, rouge-score",))
