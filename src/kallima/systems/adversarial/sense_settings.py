"""What recipes can be told of how captions are read and sounds heard. No torch here: signatures are read without."""

from dataclasses import dataclass
from typing import Literal

from kallima.errors import UsageError


@dataclass(frozen=True)
class Senses:
    """How a player takes in what it is told: each player has a network of its own for it."""

    reader: str = "recurrent"
    """How captions are read: recurrent (word after word from both ends), bag (of words, without their order), or by
    your own sentence encoder, which stands still: transformers:FOLDER or onnx:FOLDER."""
    hearing: Literal["log-mel", "mfcc"] = "log-mel"
    """What is kept of a sound: the power of 40 bands, or the cepstrum of that, 20 numbers a frame."""
    reading_width: int = 64
    """Numbers that a caption or a sound becomes."""

    def __post_init__(self) -> None:
        if self.reading_width < 4:
            raise UsageError(f"--reading-width counts from 4, not {self.reading_width}")
