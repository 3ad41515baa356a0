"""From what --data says to a source."""

import importlib
import os
import stat
from pathlib import Path

from kallima.data.archive import open_archive
from kallima.data.arrays import NpzArrays
from kallima.data.folder import Folder
from kallima.data.idx import IdxImages, is_idx
from kallima.data.kinds import kind_of
from kallima.data.source import Source
from kallima.data.spec import MEDIA
from kallima.data.text import SUFFIXES as TEXTS
from kallima.data.text import TextLines
from kallima.data.video import VideoFolder, holds_videos
from kallima.errors import DataError, UsageError, did_you_mean

EMBEDDED: dict[str, tuple[str, str]] = {
    "glyphs": ("kallima.data.glyphs:Glyphs", "letters and digits in 21 typefaces, 32×32 grey, labelled and captioned"),
    "digits": ("kallima.data.digits:Digits", "1,797 handwritten digits, 8×8 grey, labelled"),
    "digit-canvases": (
        "kallima.data.digit_canvases:DigitCanvases",
        "three digits of which one is the sum of the others, 32×32 grey, with attributes: which digits are there",
    ),
    "glyphs-weights": (
        "kallima.data.glyphs:GlyphWeights",
        "the glyphs of nine typefaces in two unpaired domains, regular and bold",
    ),
    "sprites": (
        "kallima.data.sprites:Sprites",
        "rectangles, ellipses and hearts of every size, turn and place, 32×32 grey, labelled, with these as values",
    ),
    "moving-digit": (
        "kallima.data.moving_digits:MovingDigit",
        "videos of one digit that bounces off the walls, 12 frames of 16×16, black and white, labelled",
    ),
    "moving-digits": (
        "kallima.data.moving_digits:MovingDigits",
        "videos of two digits that do, 12 frames of 32×32, black and white",
    ),
    "glyph-views": (
        "kallima.data.glyph_views:GlyphViews",
        "pairs of frames, a glyph's card before and after it was turned in space, 32×32 grey, with the angle as value",
    ),
    "pydoc": ("kallima.data.pydoc:Pydoc", "sentences of English out of the Python language reference, as texts"),
    "turned-glyphs": (
        "kallima.data.turned_glyphs:TurnedGlyphs",
        "clips of a letter of which one thing changes, angle, place, size or the letter; 32×32 grey, labelled by which",
    ),
    "gaussian": ("kallima.data.points:Gaussian", "points of one normal distribution in the plane"),
    "ring": ("kallima.data.points:Ring", "points of narrow Gaussians on a circle"),
    "grid": ("kallima.data.points:Grid", "points of narrow Gaussians on a square grid"),
    "spiral": ("kallima.data.points:Spiral", "points along a spiral"),
    "mixture": ("kallima.data.points:TwoGaussians", "points of two normal distributions on a line"),
    "two-moons": ("kallima.data.points:TwoMoons", "points along two interlocked half circles"),
    "segment": ("kallima.data.points:Segment", "points of a straight segment in the plane, for theory"),
    "dirac": ("kallima.data.points:Dirac", "one point on a line, over and over, for theory"),
}
"""The sets that need no file: where each is made, and what it holds, in a line."""

_ARRAYS = (".npz", ".npy")
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_KINDS = "a folder of images or sounds, a .tar or .tar.gz of them, an .npz or .npy, idx files, or a .txt of lines"


def open_source(name: str | Path, *, split: str = "train", key: str | None = None, medium: str | None = None) -> Source:
    """Open an embedded set by its name, else what lies at a path (./glyphs is a folder of that name).

    `key` names the array to read in an .npz; `medium` is what a run makes that is to see the data.

    Raises:
        UsageError: there is neither a set nor a path of that name, or `key` does not apply.
        DataError: the data cannot be used, lacks the split, or is of another medium.
    """
    source = _open(name, split, key)
    if medium is not None and medium not in source.fields:
        held = " and ".join(MEDIA[field] for field in source.fields if field in MEDIA)
        raise DataError(f"{name} holds {held}, and the run makes {MEDIA[medium]}")
    return source


def _open(name: str | Path, split: str, key: str | None) -> Source:
    text = os.fspath(name)
    if key is not None and (text in EMBEDDED or not text.lower().endswith(_ARRAYS)):
        raise UsageError(f"--key names an array in an .npz, and {text} is none")
    if isinstance(name, str) and text in EMBEDDED:
        module, made = EMBEDDED[text][0].split(":")
        source: Source = getattr(importlib.import_module(module), made)(split)
        return source
    if not text:  # a variable that is not set, of which Path would make the folder one is in
        raise _unknown(text)
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise _unknown(text) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{text} cannot be opened ({reason})") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{text} is neither a file nor a folder")
    return _open_path(path, split, key)


def _open_path(path: Path, split: str, key: str | None) -> Source:
    ending = path.name.lower()
    try:
        if is_idx(path):
            return IdxImages(path, split)
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror})") from error
    if path.is_dir():
        return VideoFolder(path, split) if holds_videos(path) else Folder(path, split)
    if ending.endswith(_ARRAYS):
        return NpzArrays(path, split, key)
    if ending.endswith(TEXTS):
        return TextLines(path, split)
    if ending.endswith(_ARCHIVES):
        return open_archive(path, split)
    if kind := kind_of(ending):
        raise DataError(f"{path} is a single {kind.one}: give the folder it lies in")
    if ending.endswith(".zip"):
        raise DataError(f"{path} is a zip of files: unpack it and give the folder")
    raise DataError(f"{path} is no data that is known: give {_KINDS}")


def _unknown(name: str) -> UsageError | DataError:
    if near := did_you_mean(name, EMBEDDED):
        return UsageError(f"no data '{name}'{near}")
    if os.sep in name or "." in name:
        return DataError(f"no such path: {name}")
    return UsageError(f"'{name}' is no embedded set ({', '.join(EMBEDDED)}) and no such path")
