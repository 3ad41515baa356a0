"""Numbers, labels and texts as the metrics need them: checked once, the mistake named in one line."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from kallima.errors import DataError

Array = np.ndarray | Tensor


def as_numpy(values: object) -> np.ndarray:
    """Return any array, tensor or list of numbers as a NumPy array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def numbers(name: str, values: object, dimensions: int, least: int = 1) -> np.ndarray:
    """Return `values` as a finite float64 array of so many `dimensions`, the first at least `least` long.

    Raises:
        DataError: it is none.
    """
    array = as_numpy(values)
    if array.dtype.kind not in "fiub" or array.ndim != dimensions:
        wanted = "(" + ", ".join("NDHWC"[:dimensions]) + ("," if dimensions == 1 else "") + ")"
        raise DataError(f"the {name} have {array.dtype} of shape {array.shape}: they need to be numbers {wanted}")
    if len(array) < least or array.size == 0:
        raise DataError(f"there are {len(array) if array.size else 0} {name}: this needs {least} or more")
    array = array.astype(np.float64)
    broken = int((~np.isfinite(array).reshape(len(array), -1)).any(1).sum())
    if broken:
        raise DataError(f"{broken:,} of {len(array):,} {name} hold NaN or infinity")
    return array


def classes(name: str, values: object, count: int | None = None) -> np.ndarray:
    """Return one class an example, whole numbers or words (N,), as indices int64 (N,) of the classes in order.

    Raises:
        DataError: they are fractions or not (N,), or not `count`.
    """
    array = as_numpy(values)
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        raise DataError(f"the {name} have {array.dtype} of shape {array.shape}: they need to be classes (N,)")
    if not len(array):
        raise DataError(f"there are no {name}")
    if count is not None:
        alike(name, len(array), "examples", count)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def alike(name: str, count: int, other: str, others: int) -> None:
    """Demand as many of one as of the other.

    Raises:
        DataError: they differ.
    """
    if count != others:
        raise DataError(f"there are {count:,} {name} for {others:,} {other}: give one for each")


def texts(name: str, given: Sequence[str], *, empty: bool = False) -> list[str]:
    """Return texts as a list; `empty` allows texts without a word.

    Raises:
        DataError: they are not texts, there are none, or one is empty.
    """
    if isinstance(given, str):
        raise DataError(f"the {name} are one text: give a list of texts")
    found = list(given)
    if not found:
        raise DataError(f"there are no {name}")
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise DataError(f"{name}[{place}] is {type(text).__name__}, it needs to be text")
        if not empty and not text.strip():
            raise DataError(f"{name}[{place}] is empty")
    return found
