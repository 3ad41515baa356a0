"""Conditions that come in by other senses: a caption that is read, a sound that is heard."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from kallima.data import sound
from kallima.data.batch import Batch
from kallima.data.spec import Audio, Field, Text
from kallima.data.tokens import cut, decode, encode, joined, unknown
from kallima.errors import DataError, UsageError, did_you_mean
from kallima.layers.acoustic import LogMel, cepstrum

Hearing = Literal["log-mel", "mfcc"]
"""What is kept of a sound: the power in bands of frequencies, or the shape of that alone, in few numbers."""

GAIN = "gain"
"""What changes the loudness of a sound that is given, in decibels."""

MELS, CEPSTRA = 40, 20
WINDOW = 0.032
"""Seconds that a frame looks at; it moves by half of that."""
MOST_FRAMES = 128
"""Of a sound that would have more, frames lie further apart."""
LOUDEST = 80.0
"""Decibels that a sound can be made louder or softer by."""


class Sense(nn.Module, ABC):
    """A field that is given as something to read or to hear, as `size` numbers an example.

    `other` names what may be asked for beside it.
    """

    size: int
    other: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def vectors(self, batch: Batch) -> Tensor:
        """Return what is sensed of a batch's examples (N, size)."""

    @abstractmethod
    def encoded(self, given: str, beside: dict[str, str]) -> Tensor:
        """Return what is sensed of what a user gives (size,); `beside` is what was asked for of `other`.

        Raises:
            UsageError, DataError: it cannot be read or heard.
        """

    @abstractmethod
    def example(self) -> str:
        """Show how it is written."""

    def first(self, count: int) -> Tensor:
        """Return what a memory holds before anything was sensed: (count, size)."""
        return torch.zeros(count, self.size)


class Caption(Sense):
    """A text as its codes (length,), as the training's vocabulary has them, in numbers that are whole."""

    def __init__(self, field: Text):
        super().__init__()
        if not field.tokens:
            raise DataError("the captions are not cut into tokens: choose with --tokens word")
        self.field, self.size = field, field.shape[0]

    def vectors(self, batch: Batch) -> Tensor:
        """Return the codes of the batch's texts."""
        return batch["text"].to(torch.float32)

    def encoded(self, given: str, beside: dict[str, str]) -> Tensor:
        """Return the codes of a caption, whose words are taken without their punctuation where they are unknown so.

        Raises:
            UsageError: it has a word that no caption of the training had; or it is longer than any.
        """
        assert self.field.tokens is not None
        text = self._plain(given) if self.field.tokens == "word" else given
        strange = unknown(text, self.field)
        if strange:
            words = ", ".join(f"'{word}'" for word in strange)
            near = did_you_mean(strange[0], self.field.vocabulary) or f"; there is {self._some_words()}"
            raise UsageError(f"no caption of the training has {words}{near}")
        if (count := len(cut(text, self.field.tokens))) >= self.size:
            raise UsageError(
                f"'{given}' has {count} {self.field.tokens}s, and captions of the training at most {self.size - 1}"
            )
        return torch.from_numpy(encode([text], self.field))[0].to(torch.float32)

    def example(self) -> str:
        """Show a caption of known words."""
        assert self.field.tokens is not None
        return f'"{joined(self.field.vocabulary[:3], self.field.tokens)}"'

    def said(self, vectors: Tensor) -> list[str]:
        """Return the captions of vectors (N, size)."""
        return decode(vectors.round().long().cpu().numpy(), self.field)

    def _plain(self, given: str) -> str:
        known, words = set(self.field.vocabulary), []
        for word in given.split():
            forms = (word, word.strip(",.;:!?\"'()"), word.lower(), word.lower().strip(",.;:!?\"'()"))
            words.append(next((form for form in forms if form in known), forms[1] or word))
        return " ".join(words)

    def _some_words(self) -> str:
        shown = self.field.vocabulary[:12]
        return ", ".join(shown) + (" and so on" if len(self.field.vocabulary) > len(shown) else "")


class Sound(Sense):
    """A sound as its log-mel picture or its cepstrum, row by row: numbers of about −1 to 1.

    Decibels are divided by 50 after 50 were added; so loudness is a shift of all bands, and of the first cepstral
    coefficient alone.
    """

    other = (GAIN,)

    def __init__(self, field: Audio, hearing: Hearing = "log-mel"):
        super().__init__()
        if field.rate is None or field.samples is None:
            raise DataError("the sounds differ in rate or length: choose with --rate and --seconds")
        self.field, self.hearing = field, hearing
        window = 2 * max(8, round(field.rate * WINDOW / 2))
        hop = max(window // 2, -(-field.samples // MOST_FRAMES))
        self.log_mel = LogMel(field.rate, window=window, hop=hop, mels=MELS)
        self.rows = MELS if hearing == "log-mel" else CEPSTRA
        self.columns = self.log_mel.frames(field.samples)
        self.size = self.rows * self.columns

    def vectors(self, batch: Batch) -> Tensor:
        """Return what is heard in the batch's sounds."""
        return self.heard(batch["audio"])

    @torch.no_grad()
    def heard(self, sounds: Tensor) -> Tensor:
        """Return what is heard in sounds (N, T): (N, size)."""
        power = (self.log_mel(sounds.float()) + 50) / 50
        return (power if self.hearing == "log-mel" else cepstrum(power, CEPSTRA) / 3).flatten(1)

    def encoded(self, given: str, beside: dict[str, str]) -> Tensor:
        """Return what is heard in a sound file, at the training's rate and length, louder by `gain` decibels.

        Raises:
            UsageError: there is no such file, or `gain` is no number.
            DataError: it cannot be used.
        """
        path = Path(given)
        if not path.is_file():
            raise UsageError(f"there is no sound file '{given}': give the path of a {', '.join(sound.SUFFIXES)}")
        try:
            samples, rate = sound.decode(path)
        except DataError as error:
            raise DataError(f"{given} {error}") from error
        assert self.field.rate is not None
        assert self.field.samples is not None
        if rate < self.field.rate:
            raise DataError(
                f"{given} has {rate:,} samples a second, and this run hears {self.field.rate:,}: what is missing above "
                f"{rate // 2:,} Hz cannot be made up, so give a sound of at least that rate"
            )
        own = sound.resampled(samples, rate, self.field.rate, self.field.samples)
        heard = torch.zeros(self.field.samples)
        heard[: len(own)] = torch.from_numpy(own.astype("float32") / 32768)
        return self.heard(heard[None] * 10 ** (_decibels(beside.get(GAIN, "0")) / 20))[0]

    def example(self) -> str:
        """Show a path."""
        return "three.wav"


SENSES: dict[str, tuple[type[Field], type[Sense]]] = {"text": (Text, Caption), "audio": (Audio, Sound)}
"""The fields that are read or heard, and by what."""


def _decibels(given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not abs(number) <= LOUDEST:
        raise UsageError(f"{GAIN} is a number of decibels between -{LOUDEST:g} and {LOUDEST:g}, not '{given}'")
    return number
