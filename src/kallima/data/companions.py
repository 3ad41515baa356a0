"""What an .npz says of its examples besides themselves: labels, domains, attributes, values, texts, sounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kallima.data.metadata import class_names, standardised
from kallima.data.npy import ArrayFile
from kallima.data.sound import RATES
from kallima.data.spec import Attributes, Audio, Field, Label, Text
from kallima.errors import DataError

NAMED = {"label": "classes", "domain": "domain_names", "attributes": "attribute_names", "values": "value_names"}
"""The fields, and the array that may name the classes, attributes or values of each."""
SENSED = ("text", "audio")
"""Further fields: what is to be read, and what is to be heard, at `rate` samples a second, a number beside it."""


@dataclass(frozen=True)
class Companion:
    """A field, and what it is of every example (N, …) of the split."""

    field: Field
    column: np.ndarray

    def of(self, index: int) -> object:
        """Return the value of one example, as an `Example` holds it."""
        if isinstance(self.field, Text):
            return str(self.column[index])
        return int(self.column[index]) if isinstance(self.field, Label) else self.column[index]


def companions(
    file: ArrayFile, arrays: Mapping[str, tuple[str, Mapping[str, str]]], split: str
) -> dict[str, Companion]:
    """Read what is said of the examples of `split`.

    `arrays` gives by split the array of examples, and by field that of its companion. Classes are those of all splits,
    values are standardised by the first split that has them.

    Raises:
        DataError: a companion differs from its examples in number, or does not hold what its name says.
    """
    for examples, beside in arrays.values():
        for name, array in beside.items():
            _demand_shape(file, examples, array, wide=name in ("attributes", "values", "audio"))
    found = {}
    for name in arrays[split][1]:
        of_split = {each: beside[name] for each, (_, beside) in arrays.items() if name in beside}
        if name in ("label", "domain"):
            found[name] = _classes(file, of_split, split, NAMED[name])
        elif name == "attributes":
            found[name] = _attributes(file, of_split[split])
        elif name == "text":
            found[name] = _texts(file, of_split[split])
        elif name == "audio":
            found[name] = _sounds(file, of_split[split])
        else:
            found[name] = _values(file, of_split, split)
    return found


def _demand_shape(file: ArrayFile, examples: str, array: str, *, wide: bool) -> None:
    shape, own = file.headers[examples].shape, file.headers[array].shape
    if own in ((shape[0],), (shape[0], 1)) or (wide and len(own) == 2 and own[0] == shape[0] and own[1]):
        return
    what = "row" if wide else "label" if array != "domain" else "domain"
    raise DataError(
        f"'{examples}' has the shape {shape} but '{array}' {own} in {file.path}: "
        f"there must be one {what} an example (--key {examples} reads the examples alone)"
    )


def _classes(file: ArrayFile, arrays: Mapping[str, str], split: str, names_in: str) -> Companion:
    words = {each: _words(file, array) for each, array in arrays.items()}
    classes = class_names(word for distinct, _ in words.values() for word in distinct)
    distinct, places = words[split]
    index = {word: i for i, word in enumerate(classes)}
    indices = np.array([index[word] for word in distinct], np.int64)[places]
    named = file.headers.get(names_in)
    if named is not None and named.dtype.kind == "U" and len(named.shape) == 1 and named.shape[0] < 1 << 20:
        names = file.load(names_in).tolist()
        if len(set(names)) == len(names) and all(word.isdigit() and int(word) < len(names) for word in classes):
            numbers = np.array([int(word) for word in classes], np.int64)
            return Companion(Label(tuple(names)), numbers[indices])
    return Companion(Label(classes), indices)


def _words(file: ArrayFile, array: str) -> tuple[list[str], np.ndarray]:
    """Return the distinct labels as strings, and for each example (N,) the place of its own among them."""
    values, places = np.unique(file.load(array).reshape(-1), return_inverse=True)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "f" and np.all(values == np.floor(values)) and np.all(np.abs(values) < 2**53):
        values = values.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuU":
        raise DataError(f"{file.where(array)} holds {values.dtype} numbers, not labels: save whole numbers or words")
    return values.astype(str).tolist(), places.reshape(-1)


def _attributes(file: ArrayFile, array: str) -> Companion:
    numbers = _numbers(file, array)
    if not np.isin(numbers, (0, 1)).all():
        raise DataError(f"{file.where(array)} holds numbers other than 0 and 1: save those as values")
    names = _names(file, NAMED["attributes"], "attribute", numbers.shape[1])
    return Companion(Attributes(names), numbers.astype(np.float32))


def _texts(file: ArrayFile, array: str) -> Companion:
    if file.headers[array].dtype.kind != "U":
        raise DataError(f"{file.where(array)} holds {file.headers[array].dtype}, not texts: save an array of str")
    return Companion(Text(), file.load(array).reshape(-1))


def _sounds(file: ArrayFile, array: str) -> Companion:
    header = file.headers[array]
    if "rate" not in file.headers:
        raise DataError(f"{file.where(array)} has sounds of no known rate: add a number `rate`, in samples a second")
    rate = file.number("rate")
    if not RATES[0] <= rate <= RATES[1] or rate != int(rate):
        raise DataError(f"{file.where('rate')} is {rate:g}, which is no rate of a sound: save its samples a second")
    if len(header.shape) != 2 or (header.dtype != np.int16 and header.dtype.kind != "f"):
        raise DataError(f"{file.where(array)} is {header}: sounds are int16 (N, T), or floating point in [-1, 1]")
    samples = file.load(array)
    if samples.dtype != np.int16:
        if not np.isfinite(samples).all() or np.abs(samples).max(initial=0) > 1:
            raise DataError(f"{file.where(array)} holds numbers beyond [-1, 1], or NaN: scale them")
        samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return Companion(Audio(int(rate), header.shape[1]), samples)


def _values(file: ArrayFile, arrays: Mapping[str, str], split: str) -> Companion:
    numbers = {each: _numbers(file, array) for each, array in arrays.items()}
    first = next(iter(numbers.values()))
    if numbers[split].shape[1] != first.shape[1]:
        raise DataError(f"the arrays {', '.join(arrays.values())} in {file.path} differ in the number of values")
    names = _names(file, NAMED["values"], "value", first.shape[1])
    return Companion(standardised(names, first), numbers[split].astype(np.float32))


def _numbers(file: ArrayFile, array: str) -> np.ndarray:
    """Return an array of numbers as float64 (N, K)."""
    if file.headers[array].dtype.kind not in "fiub":
        raise DataError(f"{file.where(array)} holds {file.headers[array].dtype}: save plain numbers")
    loaded = file.load(array)
    with np.errstate(over="ignore"):
        numbers = loaded.reshape(len(loaded), -1).astype(np.float64)
    finite = np.abs(numbers) <= np.finfo(np.float32).max  # as which it is read; NaN compares false
    if not finite.all():
        first = int(np.argmin(finite.all(axis=1)))
        raise DataError(
            f"{file.where(array)} holds {(~finite).sum()} values that are NaN or infinite, the first in example "
            f"{first}: mend or leave out those examples"
        )
    return numbers


def _names(file: ArrayFile, names_in: str, what: str, count: int) -> tuple[str, ...]:
    """Return the names that the file gives, else `what` with a number."""
    if names_in not in file.headers:
        return tuple(f"{what}{i}" for i in range(1, count + 1))
    header = file.headers[names_in]
    names: Sequence[str] = file.load(names_in).tolist() if header.dtype.kind == "U" and len(header.shape) == 1 else ()
    if len(names) != count or len(set(names)) < count:
        raise DataError(f"{file.where(names_in)} must be {count} different words, one for each {what}")
    return tuple(names)
