"""What files of a folder or an archive can hold: images or sounds, each found by its suffix and read in its own way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kallima.data import images, sound
from kallima.data.images import Survey
from kallima.data.sound import Hearing
from kallima.data.source import Example, Problem
from kallima.data.spec import Field

File = Path | bytes


@dataclass(frozen=True)
class Kind:
    """What files of one kind are called, and how they are looked at.

    `name` is that of their field, `one` and `noun` of one and of several of them, `endings` what they end in, in words.
    `decode` gives what an example has of a file, `measure` what its header says, and `survey` gathers that of all
    files; both raise a DataError that says what is wrong with a file.
    """

    name: str
    one: str
    noun: str
    endings: str
    suffixes: tuple[str, ...]
    decode: Callable[[File], Example]
    measure: Callable[[File], Any]
    survey: type[Survey] | type[Hearing]

    def holds(self, name: str) -> bool:
        """Say whether a file of this name is of this kind."""
        return name.lower().endswith(self.suffixes)

    def gather(self, measures: Iterable[Any | Problem]) -> list[Any]:
        """Return the survey of all files as JSON."""
        return self.survey.of(measures).to_json()


def _image(data: File) -> Example:
    return {"image": images.decode(data)}


def _audio(data: File) -> Example:
    samples, rate = sound.decode(data)
    return {"audio": samples, "rate": rate}


IMAGES = Kind("image", "image", "images", ".png, .jpg and the like", images.SUFFIXES, _image, images.measure, Survey)
SOUNDS = Kind("audio", "sound", "sounds", ".wav, .flac, .ogg", sound.SUFFIXES, _audio, sound.measure, Hearing)
KINDS = (IMAGES, SOUNDS)


def kind_of(name: str) -> Kind | None:
    """Return the kind of the file of this name; None where it is of none."""
    return next((kind for kind in KINDS if kind.holds(name)), None)


def prevailing(names: Iterable[str]) -> Kind:
    """Return the kind of most of these files, images where there are as many of each."""
    counts = dict.fromkeys(KINDS, 0)
    for name in names:
        if (kind := kind_of(name)) is not None:
            counts[kind] += 1
    return max(KINDS, key=lambda kind: counts[kind])


def field_of(survey: Survey | Hearing) -> Field:
    """Return the field that the surveyed files make."""
    return survey.image if isinstance(survey, Survey) else survey.audio
