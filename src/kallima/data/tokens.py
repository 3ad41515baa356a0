"""Texts as codes: cut into characters or words, each a number, with an end."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from kallima.data.spec import Text

END, UNKNOWN = 0, 1
"""The codes of what is no token: the end of a text, which also fills up what follows, and a token without a code."""

STRANGE = "\N{REPLACEMENT CHARACTER}"
"""What stands in a text for an unknown token."""


def cut(text: str, tokens: str) -> list[str]:
    """Cut a text into its characters, or at blanks into words."""
    return text.split() if tokens == "word" else list(text)


def joined(parts: Iterable[str], tokens: str) -> str:
    """Put together what `cut` has cut."""
    return (" " if tokens == "word" else "").join(parts)


def encode(texts: Sequence[str], field: Text, *, ended: bool = True) -> np.ndarray:
    """Return the codes of texts, int64 (N, length): tokens, then `END` to the end; what is too long is cut off.

    Without `ended` no text has an end: an array (N, L) up to the longest, filled up with `END`.
    """
    assert field.tokens is not None
    known, tokens = _codes(field), field.tokens
    rows = [[known.get(token, UNKNOWN) for token in cut(text, tokens)][: field.length] for text in texts]
    width = field.shape[0] if ended else max(map(len, rows), default=0)
    codes = np.full((len(rows), width), END, np.int64)
    for place, row in enumerate(rows):
        codes[place, : len(row)] = row
    return codes


def decode(codes: np.ndarray, field: Text) -> list[str]:
    """Return the texts of codes (N, L), each up to its first `END`; the unknown is written as `STRANGE`."""
    assert field.tokens is not None
    names = (None, STRANGE, *field.vocabulary)
    texts = []
    for row in np.asarray(codes):
        ends = np.flatnonzero(row == END)
        own = row[: ends[0]] if len(ends) else row
        texts.append(joined((str(names[code]) for code in own), field.tokens))
    return texts


def unknown(text: str, field: Text) -> list[str]:
    """Return the tokens of a text that have no code, each once."""
    assert field.tokens is not None
    known = _codes(field)
    return list(dict.fromkeys(token for token in cut(text, field.tokens) if token not in known))


@lru_cache(maxsize=8)
def _codes(field: Text) -> dict[str, int]:
    return {token: code for code, token in enumerate(field.vocabulary, start=2)}
