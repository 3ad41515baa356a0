"""Judging texts: against all real ones, among themselves, or one by one against their references."""

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import alike
from kallima.evaluation.metrics import choose, foreign, score_of
from kallima.evaluation.score import Measure, Score
from kallima.evaluation.speech.word_errors import character_error_rate, word_error_rate
from kallima.evaluation.text.bleu import bleu, self_bleu, set_bleu
from kallima.evaluation.text.corpus import Texts
from kallima.evaluation.text.distinct import distinct
from kallima.evaluation.text.language_model import ORDER, LanguageModel
from kallima.evaluation.text.perplexity import perplexity
from kallima.evaluation.text.rouge import rouge

_log = logging.getLogger(__name__)

PAIRED: dict[str, Callable[[list[str], list[str]], Measure]] = {
    "paired-bleu": bleu,
    "rouge": rouge,
    "rouge-1": lambda made, real: rouge(made, real, "rouge1"),
    "rouge-2": lambda made, real: rouge(made, real, "rouge2"),
    "wer": word_error_rate,
    "cer": character_error_rate,
}
"""What compares text i with reference i. Two files do not say that they are pairs: only who names these does."""


ALONE = frozenset({"self-bleu", "distinct-1", "distinct-2"})
"""What looks at no real text."""


def evaluate_texts(
    generated: Sequence[str], real: Texts, *, metrics: Sequence[str] | None = None, seed: int = 0
) -> list[Score]:
    """Score generated texts against real ones: by default BLEU, self-BLEU, distinct-1 and -2, and perplexity.

    What cannot judge these texts is left out with a warning where no metric is named.

    Raises:
        UsageError: a metric is unknown or judges something else, or the library that it needs is not installed.
        DataError: there are fewer than two texts on a side, a real one is empty, or pairs differ in number.
    """
    made, truth = list(generated), real.texts
    for what, texts in (("samples", made), ("real texts", truth)):
        if len(texts) < 2:
            raise DataError(f"{len(texts)} {what} cannot be judged: give two or more")
    empty = next((place for place, text in enumerate(truth, start=1) if not text.strip()), None)
    if empty is not None:
        raise DataError(f"real text {empty} of {real.name} is empty: leave out empty lines, and their pairs if any")
    measures: dict[str, Callable[[], Measure]] = {
        "bleu": lambda: set_bleu(made, truth),
        "self-bleu": lambda: self_bleu(made),
        "distinct-1": lambda: distinct(made, 1),
        "distinct-2": lambda: distinct(made, 2),
        "perplexity": lambda: model_perplexity(made, truth, seed=seed),
    }
    scores = []
    for name in choose(metrics, [*measures, *PAIRED] if metrics else measures, foreign("text")):
        start = time.perf_counter()
        try:
            measure = _paired(name, made, truth) if name in PAIRED else measures[name]()
        except DataError as error:
            if metrics:
                raise
            _log.warning("%s is left out: %s", name, error)
            continue
        scores.append(
            score_of(
                name,
                measure,
                real=0 if name in ALONE else len(truth),
                generated=len(made),
                data=real.name,
                split=real.split,
                fingerprint=real.fingerprint,
                seed=seed,
                seconds=time.perf_counter() - start,
            )
        )
    return scores


def model_perplexity(generated: Sequence[str], real: Sequence[str], *, seed: int = 0) -> Measure:
    """Return the perplexity of generated texts under a model of nine tenths of the real ones, drawn with the seed.

    That of the other tenth goes into the notes: more is unlike the real texts, much less is too plain.

    Raises:
        DataError: there are fewer than two real texts, or one is empty.
    """
    if len(real) < 2:
        raise DataError(f"{len(real)} real texts are too few to learn from")
    order = np.random.default_rng(seed).permutation(len(real))
    tenth = max(1, len(real) // 10)
    model = LanguageModel([real[i] for i in order[tenth:]])
    apart = perplexity([model.log_probabilities(real[i]) for i in order[:tenth]])
    measure = perplexity([model.log_probabilities(text) for text in generated])
    notes = (
        f"a token is a word, split at blanks, or the end; {ORDER}-grams, Witten-Bell, learned from "
        f"{len(real) - tenth:,} real texts; words they lack count as one",
        f"the other {tenth:,} real texts have {apart.value:.4g}"
        + ("" if apart.spread is None else f" ± {apart.spread:.1g}"),
    )
    return measure._replace(notes=(*measure.notes, *notes))


def _paired(name: str, made: list[str], truth: list[str]) -> Measure:
    alike("samples", len(made), "real texts", len(truth))
    measure = PAIRED[name](made, truth)
    return measure._replace(notes=(*measure.notes, "text i against real text i, in their order"))
