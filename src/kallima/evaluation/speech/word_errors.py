"""Word and character error rates through jiwer: substitutions, deletions and insertions over the words spoken."""

import re
from collections.abc import Sequence

import numpy as np

from kallima.errors import import_extra
from kallima.evaluation.arrays import alike, texts
from kallima.evaluation.resampling import jackknifed
from kallima.evaluation.score import Measure


def word_error_rate(transcribed: Sequence[str], spoken: Sequence[str], *, normalise: bool = False) -> Measure:
    """Return errors in words over words spoken, of all utterances together: 0 at best, above 1 where too much is said.

    `normalise` compares in lower case and without punctuation. The error is the jackknife's over utterances.

    Raises:
        UsageError: jiwer is not installed.
        DataError: there are no utterances, a spoken one is empty, or counts differ. A transcription may be empty.
    """
    return _rate("process_words", "words", transcribed, spoken, normalise)


def character_error_rate(transcribed: Sequence[str], spoken: Sequence[str], *, normalise: bool = False) -> Measure:
    """Return errors in characters, blanks between words among them, over characters spoken; else as `word_error_rate`.

    Raises:
        UsageError: jiwer is not installed.
        DataError: as for `word_error_rate`.
    """
    return _rate("process_characters", "characters", transcribed, spoken, normalise)


def _rate(process: str, unit: str, transcribed: Sequence[str], spoken: Sequence[str], normalise: bool) -> Measure:
    library = import_extra("jiwer", "speech")
    heard, truth = texts("transcriptions", transcribed, empty=True), texts("spoken texts", spoken)
    alike("transcriptions", len(heard), "spoken texts", len(truth))
    if normalise:
        truth = texts("spoken texts without punctuation", [_normalised(text) for text in truth])
        heard = [_normalised(text) for text in heard]
    truth, heard = ([" ".join(text.split()) for text in side] for side in (truth, heard))
    rows = []
    for one, other in zip(truth, heard, strict=True):
        found = getattr(library, process)(one, other)
        rows.append([found.substitutions, found.deletions, found.insertions, found.hits])
    counts = np.array(rows, dtype=np.float64)
    errors, lengths = counts[:, :3].sum(1), counts[:, [0, 1, 3]].sum(1)
    left = lengths.sum() - lengths
    replicates = (errors.sum() - errors) / left if len(rows) > 1 else np.empty(0)
    wrong, missed, added, _ = counts.sum(0).astype(int)
    notes = (
        f"{wrong:,} wrong, {missed:,} missed, {added:,} added of {int(lengths.sum()):,} {unit}",
        "lower case, no punctuation" if normalise else "case and punctuation count",
    )
    return jackknifed(float(errors.sum() / lengths.sum()), replicates, "utterances", notes)


def _normalised(text: str) -> str:
    # an apostrophe is part of its word
    return re.sub(r"[^\w\s']|_", " ", text.lower())
