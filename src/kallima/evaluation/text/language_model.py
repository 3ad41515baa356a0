"""A small language model to hold texts against: n-grams of words, smoothed as Witten & Bell (1991) do, interpolated
(Chen & Goodman 1998, section 2.5).

p(w | h) = (c(h w) + n(h) p(w | h′)) / (c(h) + n(h)), where c counts, n(h) is how many different words follow h, and h′
is h without its first word; below single words every word of the vocabulary is alike likely. All words that the model
has not seen are one word of the vocabulary, and so is the end of a text.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kallima.evaluation.arrays import texts

ORDER = 3
_START, _END, _UNKNOWN = "\n<", "\n>", "\n?"  # no words: these hold no line break


class LanguageModel:
    """Learns the n-grams, up to `order` words long, of texts split at blanks.

    Raises:
        DataError: there are no texts, or one is empty.
    """

    def __init__(self, learned: Sequence[str], order: int = ORDER):
        self.order = order
        self.vocabulary = {_END, _UNKNOWN}
        self._counts: Counter[tuple[str, ...]] = Counter()
        for text in texts("texts to learn from", learned):
            words = text.split()
            self.vocabulary.update(words)
            padded = self._padded(words)
            for place in range(order - 1, len(padded)):
                self._counts.update(tuple(padded[place - length : place + 1]) for length in range(order))
        self._totals: Counter[tuple[str, ...]] = Counter()  # c(h)
        self._followers: Counter[tuple[str, ...]] = Counter()  # n(h)
        for gram, count in self._counts.items():
            self._totals[gram[:-1]] += count
            self._followers[gram[:-1]] += 1

    def probability(self, word: str, history: tuple[str, ...]) -> float:
        """Return p(word | history), with up to `order` − 1 words before it."""
        probability = 1 / len(self.vocabulary)
        for start in range(len(history), -1, -1):
            known = history[start:]
            total, followers = self._totals[known], self._followers[known]
            if not total:  # nor has any longer history been seen
                break
            probability = (self._counts[(*known, word)] + followers * probability) / (total + followers)
        return probability

    def log_probabilities(self, text: str) -> np.ndarray:
        """Return the natural log-probabilities of a text's words and of its end, (words + 1,)."""
        words = [word if word in self.vocabulary else _UNKNOWN for word in text.split()]
        padded = self._padded(words)
        return np.log(
            [
                self.probability(padded[place], tuple(padded[place - self.order + 1 : place]))
                for place in range(self.order - 1, len(padded))
            ]
        )

    def _padded(self, words: list[str]) -> list[str]:
        return [_START] * (self.order - 1) + words + [_END]
