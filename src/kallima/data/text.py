"""Texts in a file, one a line: .txt or .tsv, or the same packed with gzip.

A line is a text of its own; empty lines are passed over. Where every line has exactly one tab and what stands before it
is one of few words, each before two texts or more on average, those are the classes.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from kallima.data.fingerprint import remember, stamp
from kallima.data.source import Example, Problem, Source, demand_split
from kallima.data.spec import Field, Label, Text
from kallima.errors import DataError

SUFFIXES = (".txt", ".txt.gz", ".tsv", ".tsv.gz")
"""What a file must end in to be taken for text (in lower case)."""
LINE_LIMIT = 1 << 20
"""Bytes: longer lines are refused, as no lines."""
MOST_CLASSES = 100


class TextLines(Source):
    """The lines of a file.

    Raises:
        DataError: the file is missing, damaged or holds no text; there is no such split.
    """

    def __init__(self, path: Path | str, split: str = "train"):
        self.path = Path(path).absolute()
        demand_split(split, self.splits, str(path))
        self.name, self.split = str(self.path), split
        self._stamps = [stamp("", self.path.stat())]
        self._count, classes = remember(f"lines {self.name}", self._stamps, self._survey)
        if not self._count:
            raise DataError(f"{path} holds no text")
        self.fields: dict[str, Field] = {"text": Text()}
        self._classes = {name: place for place, name in enumerate(classes)}
        if classes:
            self.fields["label"] = Label(tuple(classes))

    def __len__(self) -> int:
        return self._count

    def examples(self) -> Iterator[Example | Problem]:
        """Yield every line that is not empty, in order."""
        for number, line in self._lines():
            text = self._text(number, line)
            if isinstance(text, Problem):
                yield text
            elif self._classes:
                name, _, own = text.partition("\t")
                yield {"text": own, "label": self._classes[name]}
            else:
                yield {"text": text}

    def fingerprint(self) -> str:
        """Return the SHA-256 over the file's text."""
        return str(remember(f"text {self.name}", self._stamps, self._digest))

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for _, line in self._lines():
            digest.update(line + b"\n")
        return digest.hexdigest()

    def _survey(self) -> tuple[int, list[str]]:
        """Count the lines, and find the classes if there are any."""
        count, labelled = 0, True
        classes: dict[str, None] = {}
        for number, line in self._lines():
            count += 1
            text = self._text(number, line)
            if labelled and not isinstance(text, Problem):
                name, _, own = text.partition("\t")
                labelled = text.count("\t") == 1 and bool(name) and bool(own.strip())
                classes[name] = None
                labelled = labelled and len(classes) <= MOST_CLASSES
        return count, sorted(classes) if labelled and 2 * len(classes) <= count else []

    def _text(self, number: int, line: bytes) -> str | Problem:
        where = f"{self.name}:{number}"
        if len(line) > LINE_LIMIT:
            return Problem(where, f"has more than {LINE_LIMIT >> 20} MB: put one text on each line")
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            return Problem(where, f"is not UTF-8 text (byte {error.start}): save it as UTF-8")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not empty with their numbers, in memory that does not grow."""
        number = 0
        try:
            with self._opened() as file:
                while line := file.readline(LINE_LIMIT + 2):
                    number += 1
                    whole = line.endswith(b"\n")
                    while not whole and len(line) > LINE_LIMIT and (rest := file.readline(LINE_LIMIT)):
                        whole = rest.endswith(b"\n")
                    if line.strip():
                        yield number, line.rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is cut short or damaged"
            raise DataError(f"{self.path} cannot be read after line {number} ({reason})") from error

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file
