"""`pydoc`: sentences of English out of the Python language reference, which every Python brings along."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache, cached_property
from typing import ClassVar

from kallima.data.embedded import Embedded
from kallima.data.order import permutation
from kallima.data.source import Example
from kallima.data.spec import Field, Text
from kallima.errors import DataError

_SEED = 1991
_EVERY = 10  # one sentence in ten is for testing
_SHORTEST, _LONGEST = 20, 160  # characters
_ENDS = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
# what code, grammar, tables and headings are not: words and quoted names, from a capital to a full stop
_PROSE = re.compile(r"""[A-Z][\w ,;:()'"’‘*/.-]*[.!?]""")


class Pydoc(Embedded):
    """Sentences of 20 to 160 characters from the prose of `help("topics")`: about 1,360 to train on, 150 to
    test and 80 different characters.

    The order is shuffled, and no sentence comes twice, so that none of the test is in the training. It is the text of
    the Python that runs: another version has other sentences, and another fingerprint.
    """

    title: ClassVar[str] = "pydoc"
    fields: Mapping[str, Field] = {"text": Text()}

    def __len__(self) -> int:
        return len(self._own)

    def read(self, index: int) -> Example:
        """Return example `index`."""
        return {"text": self._own[index]}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the split's sentences."""
        return hashlib.sha256("\n".join(self._own).encode()).hexdigest()

    @cached_property
    def _own(self) -> list[str]:
        found = _sentences()
        order = [found[place] for place in permutation(len(found), _SEED, 0)]
        testing = order[::_EVERY]
        return testing if self.split == "test" else [order[i] for i in range(len(order)) if i % _EVERY]


@cache
def _sentences() -> tuple[str, ...]:
    """Return the sentences, each once, in the order of the reference.

    Raises:
        DataError: this Python came without its reference.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError("this Python came without pydoc_data, where the text lies: install the whole of it") from error
    found: dict[str, None] = {}
    for topic in sorted(topics):
        for paragraph in topics[topic].split("\n\n"):
            text = " ".join(paragraph.split()).removeprefix("* ")
            for sentence in _ENDS.split(text):
                if _SHORTEST <= len(sentence) <= _LONGEST and _PROSE.fullmatch(sentence):
                    found[sentence] = None
    return tuple(found)
