"""What the embedded sets have in common: two splits, any example at once, files out of installed packages."""

from abc import abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from kallima.data.source import Example, Source, demand_split
from kallima.errors import DataError


class Embedded(Source):
    """A set that needs no file of the user's. `title` is its name for --data.

    Raises:
        DataError: the split is neither "train" nor "test".
    """

    title: ClassVar[str]
    splits = ("train", "test")

    def __init__(self, split: str = "train"):
        demand_split(split, self.splits, self.title)
        self.name, self.split = self.title, split

    @abstractmethod
    def read(self, index: int) -> Example:
        """Return example `index`."""

    def examples(self) -> Iterator[Example]:
        """Yield every example in order; none is ever broken."""
        return (self.read(index) for index in range(len(self)))


def package_path(package: str, path: str) -> Path:
    """Return where an installed package keeps `path`, without importing the package.

    Raises:
        DataError: the package or the file is missing.
    """
    spec = find_spec(package)
    roots = spec.submodule_search_locations if spec else None
    if not roots:
        raise DataError(f"this data comes with the package {package}, which is not installed: reinstall kallima")
    found = Path(next(iter(roots))) / path
    if not found.exists():
        raise DataError(f"{package} is installed without its {path}: reinstall {package}")
    return found
