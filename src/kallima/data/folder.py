"""A folder of images or sounds, as deep as it likes, with class subfolders or "imagefolder" tables."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kallima.data.fingerprint import Stamp, content_fingerprint, file_digest, remember, stamp
from kallima.data.images import Survey
from kallima.data.kinds import IMAGES, SOUNDS, field_of, kind_of, prevailing
from kallima.data.metadata import TABLE_LIMIT, TABLES, Table, list_files, read_table
from kallima.data.sound import Hearing
from kallima.data.source import Example, Problem, Source
from kallima.data.spec import Field
from kallima.errors import DataError

_ELSEWHERE = (".npz", ".npy", ".tar", ".tar.gz", ".tgz")  # what can be opened itself, where it lies in a folder


@dataclass
class _Found:
    """What a walk through the folder met, by name relative to it, with slashes."""

    files: dict[str, Stamp] = field(default_factory=dict)  # images and sounds
    broken: dict[str, str] = field(default_factory=dict)  # what is wrong with those that have no stamp
    tables: dict[str, Stamp] = field(default_factory=dict)
    openable: list[str] = field(default_factory=list)
    others: int = 0


class Folder(Source):
    """The images or sounds below `path`, whichever are more, sorted by their relative path.

    `kallima.data.metadata` tells what else they get. Hidden files and files that do not end like one of them are passed
    over. Links are followed, each folder once. The folder `train` or `test` at the top, or a table's column `split`,
    makes `split`.

    Raises:
        DataError: the folder is missing, cannot be opened, or holds neither; there is no such split; a table is damaged
            or says of some files what it does not say of others.
        UsageError: the package that reads such sounds is not installed.
    """

    def __init__(self, path: Path | str, split: str = "train"):
        self.root = Path(path).absolute()
        self.name, self.split = str(self.root), split
        found = _walk(self.root)
        table = self._table(found)
        beside = table is not None and "audio" in table.columns
        kind = self._kind = IMAGES if beside else prevailing([*found.files, *found.broken])
        names = sorted(name for name in {*found.files, *found.broken} if kind_of(name) in (kind, None))
        if not names:
            raise DataError(_without_files(path, found))
        self._broken = found.broken
        self._listing = list_files(names, table, split, str(path), kind.noun)
        self.splits, self.names = self._listing.splits, self._listing.names
        self._stamps = [found.files.get(name, (name, -1, 0, 0)) for name in self._listing.names]
        self._stamps += found.tables.values()
        seen = kind.survey.from_json(remember(f"{kind.noun} in {self.name}", self._stamps, self._survey))
        self.survey = seen if isinstance(seen, Survey) else None
        self.hearing = seen if isinstance(seen, Hearing) else None
        self.fields: Mapping[str, Field] = {kind.name: field_of(seen), **self._listing.fields}
        if beside:
            stamps = [found.files.get(name, (name, -1, 0, 0)) for name in self._listing.columns["audio"]]
            self._stamps += stamps
            heard = remember(f"sounds beside images in {self.name}", self._stamps, self._survey_of_sounds)
            self.hearing = Hearing.from_json(heard)
            self.fields = {**self.fields, "audio": self.hearing.audio}

    def __len__(self) -> int:
        return len(self._listing.names)

    def read(self, index: int) -> Example | Problem:
        """Decode example `index`, or return what is wrong with it."""
        path, problem = self._place(index)
        if problem is not None:
            return problem
        try:
            example = {**self._kind.decode(path), **self._listing.values(index)}
            if self._kind is IMAGES and "audio" in example:
                path = self._sound(index)
                example |= SOUNDS.decode(path)
            return example
        except DataError as error:
            return Problem(str(path), str(error))

    def path(self, index: int) -> Path | Problem:
        """Return where example `index` lies, or what is already known to be wrong with it."""
        path, problem = self._place(index)
        return problem or path

    def examples(self) -> Iterator[Example | Problem]:
        """Yield every example in order."""
        return (self.read(index) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Return the SHA-256 over relative names, bytes and labels."""
        # the classes may come from images of another split, which have no stamp here
        question = f"content {self.name} {self._listing.fields}"
        return str(remember(question, self._stamps, self._content))

    def _content(self) -> str:
        def digest(index: int) -> str:
            path, problem = self._place(index)
            try:
                if problem is not None:
                    return problem.problem
                own = file_digest(path)
                return f"{own} {file_digest(self._sound(index))}" if "audio" in self._listing.columns else own
            except (OSError, DataError) as error:
                return str(getattr(error, "strerror", error))

        listing = self._listing
        entries = ((name, digest(i), listing.json_values(i)) for i, name in enumerate(listing.names))
        return content_fingerprint(listing.fields, entries)

    def _survey(self) -> object:
        def measure(index: int) -> Any | Problem:
            path, problem = self._place(index)
            try:
                return problem or self._kind.measure(path)
            except DataError as error:
                return Problem(str(path), str(error))

        return self._kind.gather(map(measure, range(len(self))))

    def _survey_of_sounds(self) -> object:
        def measure(index: int) -> Any | Problem:
            name = self._listing.columns["audio"][index]
            try:
                return SOUNDS.measure(self._sound(index))
            except DataError as error:
                return Problem(name, str(error))

        return SOUNDS.gather(map(measure, range(len(self))))

    def _sound(self, index: int) -> Path:
        """Return where the sound of an image lies; it is below the folder, whatever a table says."""
        name = PurePosixPath(self._listing.columns["audio"][index])
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"has its sound outside of the folder ({name}): put it inside")
        return self.root / name

    def _place(self, index: int) -> tuple[Path, Problem | None]:
        """Return where a file lies, and what is known to be wrong with it."""
        name = self._listing.names[index]
        path = self.root / name
        if self._listing.positions[index] is None:
            return path, Problem(str(path), "is listed in a table but is not there")
        return path, Problem(str(path), self._broken[name]) if name in self._broken else None

    def _table(self, found: _Found) -> Table | None:
        """Read all tables of the folder as one."""
        whole: Table | None = None
        for name in sorted(found.tables):
            path = self.root / name
            if found.tables[name][1] > TABLE_LIMIT:
                raise DataError(f"{path} is larger than {TABLE_LIMIT >> 20} MB")
            try:
                data = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path} cannot be read ({error.strerror})") from error
            table = read_table(data, str(path), str(PurePosixPath(name).parent))
            if table is None:
                raise DataError(f"{path} names no files: it needs a column file_name, and a row a file")
            if whole is None:
                whole = table
            else:
                whole.add(table)
        return whole


def _walk(root: Path) -> _Found:
    found = _Found()
    seen: set[tuple[int, int]] = set()  # folders by device and inode: a link may lead back up

    def enter(folder: str, prefix: str) -> None:
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if not entry.name.startswith(".") and entry.name != "__MACOSX":
                    meet(entry, prefix + entry.name)

    def meet(entry: os.DirEntry[str], name: str) -> None:
        known = kind_of(entry.name) is not None
        try:
            if entry.is_dir():
                enter(entry.path, f"{name}/")
                return
            if not known and entry.name not in TABLES:
                found.others += 1
                if entry.name.lower().endswith(_ELSEWHERE):
                    found.openable.append(name)
                return
            status = entry.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                found.broken[name] = "is not a regular file"
            elif known:
                found.files[name] = stamp(name, status)
            else:
                found.tables[name] = stamp(name, status)
        except OSError as error:
            dangling = isinstance(error, FileNotFoundError) and entry.is_symlink()
            found.broken[name] = "is a link to nothing" if dangling else f"cannot be opened ({error.strerror})"

    try:
        enter(str(root), "")
    except FileNotFoundError:
        raise DataError(f"no such folder: {root}") from None
    except NotADirectoryError:
        raise DataError(f"{root} is a file, not a folder") from None
    except OSError as error:
        raise DataError(f"{root} cannot be opened ({error.strerror})") from error
    return found


def _without_files(path: Path | str, found: _Found) -> str:
    if found.openable:
        return f"{path} holds no images, but {found.openable[0]}: give that file itself"
    if not found.others:
        return f"{path} is empty: put images there ({IMAGES.endings}) or sounds ({SOUNDS.endings})"
    return f"{path} holds no images ({IMAGES.endings}) among its {found.others} files, nor sounds ({SOUNDS.endings})"
