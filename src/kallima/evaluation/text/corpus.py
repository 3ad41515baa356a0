"""Texts to judge: a .txt with one text a line, an array of strings in an .npz or .npy, or a list."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kallima.data.npy import ArrayFile
from kallima.data.source import demand_split
from kallima.data.spec import Spec, Text
from kallima.errors import DataError, UsageError, did_you_mean

FILE_LIMIT = 1 << 29
"""Files of more bytes are refused: they are held in memory."""
LINE_LIMIT = 1 << 20
"""Texts of more characters are refused: they are no lines, or one text is a whole book."""


class Texts:
    """Texts and where they come from; known by their content."""

    spec = Spec({"text": Text()})

    def __init__(self, texts: Sequence[str], name: str = "list", split: str = "-"):
        self.texts, self.name, self.split = list(texts), name, split
        for place, text in enumerate(self.texts, start=1):
            if len(text) > LINE_LIMIT:
                raise DataError(
                    f"{name} has {len(text):,} characters in text {place}, more than {LINE_LIMIT:,}: one text a line"
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256()
        for text in self.texts:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(f"{len(data)} ".encode() + data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.texts)


def holds_texts(given: Any, key: str | None = None) -> bool:
    """Say whether something given as data or samples is texts: a .txt, an array of strings, a list of them.

    Raises:
        DataError: it is an array file that is damaged.
    """
    if isinstance(given, (str, Path)):
        path = Path(given)
        if path.suffix.lower() == ".txt":
            return True
        if path.suffix.lower() not in (".npz", ".npy") or not path.is_file():
            return False
        headers = ArrayFile(path).headers
        name = _array(headers, key)
        return name is not None and headers[name].dtype.kind == "U"
    if isinstance(given, np.ndarray):
        given = given.tolist() if given.ndim == 1 and given.dtype.kind in "UO" else []
    return isinstance(given, (list, tuple)) and len(given) > 0 and all(isinstance(text, str) for text in given)


def open_texts(given: Any, *, split: str = "train", key: str | None = None, option: str = "--key") -> Texts:
    """Read texts; `key` names the array of an .npz, and `option` is what names it on the command line.

    Raises:
        UsageError: `key` names no array, or does not apply.
        DataError: the file is missing, damaged, too large, not UTF-8, or empty, or there is no such split.
    """
    if not isinstance(given, (str, Path)):
        if key is not None:
            raise UsageError(f"{option} names an array in an .npz, and these are given as they are")
        array = np.asarray(given, dtype=object)
        if array.ndim != 1:
            raise DataError(f"the texts have the shape {array.shape}: give one after another, (N,)")
        if split != "train":
            raise UsageError(f"texts in memory have no split '{split}'")
        return Texts([str(text) for text in array])
    path = Path(given)
    demand_split(split, ("train",), str(given))
    if path.suffix.lower() == ".txt":
        if key is not None:
            raise UsageError(f"{option} names an array in an .npz, and {given} is none")
        found = _lines(path)
    else:
        found = _strings(path, key, option)
    if not found:
        raise DataError(f"{given} holds no text")
    return Texts(found, str(path.absolute()), split)


def _lines(path: Path) -> list[str]:
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise DataError(f"{path} has {size:,} bytes, more than {FILE_LIMIT:,}: judge a part of it")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    # str.splitlines would break texts at separators that are no line breaks
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if not lines[-1] else lines


def _strings(path: Path, key: str | None, option: str) -> list[str]:
    file = ArrayFile(path)
    name = _array(file.headers, key)
    if name is None:
        held = ", ".join(file.headers)
        near = did_you_mean(key or "", file.headers) or f" (it holds {held}): choose one with {option}"
        raise UsageError(f"{path} has no array '{key or 'samples'}'{near}")
    array = file.load(name)
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DataError(f"'{name}' in {path} is {array.dtype} of shape {array.shape}: texts are strings (N,)")
    return [str(text) for text in array]


def _array(headers: Any, key: str | None) -> str | None:
    """Return the array to read: the one named, else `samples`, else the only one."""
    if key is not None:
        return key if key in headers else None
    return "samples" if "samples" in headers else next(iter(headers)) if len(headers) == 1 else None
