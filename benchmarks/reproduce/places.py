"""Where the real data sets lie: under $KALLIMA_DATA, else beside the checkout, one folder each."""

import io
import os
from pathlib import Path

import numpy as np

import results
from kallima.data.cache import cache_directory
from kallima.files import write_whole

VARIABLE = "KALLIMA_DATA"


def folder() -> Path:
    """Return the folder of data sets."""
    return Path(os.environ.get(VARIABLE) or results.ROOT.parent / "shared" / "data")


def archive(name: str) -> Path:
    """Return the .npz of a data set: mnist, fashion_mnist.

    Raises:
        SystemExit: it is not there.
    """
    path = folder() / name / f"{name}.npz"
    if not path.is_file():
        raise SystemExit(f"there is no {name}/{name}.npz in {folder()}: say where the sets lie with --datasets DIR")
    return path


def keep(name: str, **arrays: np.ndarray) -> Path:
    """Write arrays, made of another set's, as a set of this name, and return where."""
    path, content = cache_directory() / "reproduce" / f"{name}.npz", io.BytesIO()
    np.savez(content, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())  # another entry may be reading it
    return path
