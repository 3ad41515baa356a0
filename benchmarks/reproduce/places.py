"""Where the real data sets lie: under $KALLIMA_DATA, else beside the checkout, one folder each."""

import os
from pathlib import Path

import results
from kallima.data.cache import cache_directory

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


def made() -> Path:
    """Return the folder for sets that are made of others."""
    path = cache_directory() / "reproduce"
    path.mkdir(parents=True, exist_ok=True)
    return path
