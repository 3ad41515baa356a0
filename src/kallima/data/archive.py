"""A tar or tar.gz of images or sounds. Members are read into memory one by one; nothing is ever unpacked to disk."""

import gzip
import hashlib
import tarfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, cast

from kallima.data.fingerprint import content_fingerprint, remember, stamp
from kallima.data.images import Survey
from kallima.data.kinds import IMAGES, SOUNDS, field_of, kind_of, prevailing
from kallima.data.metadata import SPLIT_FOLDERS, TABLE_LIMIT, TABLES, Table, list_files, read_table
from kallima.data.sound import Hearing
from kallima.data.source import Example, Problem, Source
from kallima.data.spec import Field
from kallima.errors import DataError

MEMBER_LIMIT = 1 << 28
"""Members of more bytes are refused: each is held in memory."""

_TABLE_SUFFIXES = (".csv", ".jsonl")
_WITHOUT = f"holds no images ({IMAGES.endings}) and no sounds ({SOUNDS.endings})"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    ordinal: int  # its place among all members
    offset: int
    size: int
    problem: str = ""


class _StrictInfo(tarfile.TarInfo):
    """A header that raises where it is damaged or missing: tarfile itself takes that for the end of the archive, which
    is marked by a block of zeros."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _BAD_HEADERS as error:
            raise _ReadError(str(error)) from error


_BAD_HEADERS: tuple[type[Exception], ...] = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
)
_ReadError = tarfile.ReadError  # fromtarfile's argument hides the module
_FAILURES = (tarfile.TarError, EOFError, OSError, zlib.error)


class Archive(Source):
    """The images or sounds in a tar, whichever are more, in the order in which they lie there.

    `kallima.data.metadata` tells what else they get. The table is `metadata.csv` or `.jsonl` inside, else the only
    other .csv inside, else one beside the archive: the one of the same name, or the only one there; tables without a
    name column that matches members are passed over. A folder around all members counts for nothing. Links and members
    over `MEMBER_LIMIT` are problems. Member names are looked at and never used as paths.

    Raises:
        DataError: the archive is missing or damaged, or holds neither; there is no such split; a table is damaged or
            says of some files what it does not say of others.
        UsageError: the package that reads such sounds is not installed.
    """

    def __init__(self, path: Path | str, split: str = "train"):
        self.path = Path(path).absolute()
        self.name, self.split = str(self.path), split
        members, tables, damage = _scan(self.path)
        if not members:
            raise DataError(f"{path} {damage or _WITHOUT}")
        kind = self._kind = prevailing(member.name for member in members)
        members = [member for member in members if kind.holds(member.name)]
        around = _folder_around([member.name for member in members])
        names = [member.name[len(around) :] for member in members]
        table, sibling = self._table(tables, around, names)
        if table is not None and "audio" in table.columns:
            raise DataError(f"{path} has a column audio, and sounds beside images are read from folders: unpack it")
        self._damage = damage
        self._listing = list_files(names, table, split, str(path), kind.noun)
        self._members = [None if at is None else members[at] for at in self._listing.positions]
        self.splits, self.names = self._listing.splits, self._listing.names
        self._stamps = [stamp("", file.stat()) for file in (self.path, sibling) if file is not None]
        seen = kind.survey.from_json(remember(f"{kind.noun} in {self.name} {split}", self._stamps, self._survey))
        self.survey = seen if isinstance(seen, Survey) else None
        self.hearing = seen if isinstance(seen, Hearing) else None
        self.fields: Mapping[str, Field] = {kind.name: field_of(seen), **self._listing.fields}

    def __len__(self) -> int:
        return len(self._members) + bool(self._damage)

    @abstractmethod
    def contents(self) -> Iterator[bytes | Problem]:
        """Yield the bytes of every file in order."""

    def examples(self) -> Iterator[Example | Problem]:
        """Yield every example in order, and at the end what is wrong with the archive, if anything is."""
        for index, content in enumerate(self.contents()):
            yield self._example(index, content)
        if self._damage:
            yield Problem(self.name, self._damage)

    def fingerprint(self) -> str:
        """Return the SHA-256 over names, bytes and labels in order, as of a folder with the same in the same order."""
        return str(remember(f"content {self.name} {self.split}", self._stamps, self._content))

    def _content(self) -> str:
        listing = self._listing
        digests = (
            content.problem if isinstance(content, Problem) else hashlib.sha256(content).hexdigest()
            for content in self.contents()
        )
        entries = (
            (name, digest, listing.json_values(i))
            for i, (name, digest) in enumerate(zip(listing.names, digests, strict=True))
        )
        return content_fingerprint(listing.fields, entries)

    def _survey(self) -> object:
        def measure(index: int, content: bytes | Problem) -> Any | Problem:
            try:
                return content if isinstance(content, Problem) else self._kind.measure(content)
            except DataError as error:
                return self._problem(index, str(error))

        return self._kind.gather(measure(index, content) for index, content in enumerate(self.contents()))

    def _example(self, index: int, content: bytes | Problem) -> Example | Problem:
        if isinstance(content, Problem):
            return content
        try:
            return {**self._kind.decode(content), **self._listing.values(index)}
        except DataError as error:
            return self._problem(index, str(error))

    def _problem(self, index: int, problem: str) -> Problem:
        return Problem(f"{self.name}:{self._listing.names[index]}", problem)

    def _known_problem(self, index: int) -> Problem | None:
        member = self._members[index]
        if member is None:
            return self._problem(index, "is listed in a table but is not there")
        return self._problem(index, member.problem) if member.problem else None

    def _table(self, tables: dict[str, bytes], around: str, names: list[str]) -> tuple[Table | None, Path | None]:
        """Find the table, and the file beside the archive that it is, if it is one."""
        named = [name for name in tables if PurePosixPath(name).name in TABLES]
        whole: Table | None = None
        for name in named or (list(tables) if len(tables) == 1 else []):
            table = read_table(tables[name], f"{self.path}:{name}", str(PurePosixPath(name).parent))
            if table is None and named:
                raise DataError(f"{self.path}:{name} names no files: it needs a column file_name, and a row a file")
            if whole is None or table is None:
                whole = whole or table
            else:
                whole.add(table)
        if whole is not None:
            whole.rows = {name.removeprefix(around): row for name, row in whole.rows.items()}
            if named or not whole.rows.keys().isdisjoint(names):
                return whole, None
        beside = sorted(file for file in self.path.parent.iterdir() if file.name.lower().endswith(_TABLE_SUFFIXES))
        stem = self.path.name.split(".")[0]
        own = [file for file in beside if file.stem == stem] or beside
        if len(own) != 1 or not own[0].is_file() or own[0].stat().st_size > TABLE_LIMIT:
            return None, None
        try:
            table = read_table(own[0].read_bytes(), str(own[0]))
        except OSError as error:
            raise DataError(f"{own[0]} cannot be read ({error.strerror})") from error
        matches = table is not None and not table.rows.keys().isdisjoint(names)
        return (table, own[0]) if matches else (None, None)


class PlainArchive(Archive):
    """A tar, whose members can be read in any order."""

    def read(self, index: int) -> Example | Problem:
        """Decode example `index`, or return what is wrong with it."""
        if index == len(self._members):
            return Problem(self.name, self._damage)
        return self._example(index, self._bytes(index))

    def contents(self) -> Iterator[bytes | Problem]:
        """Yield the bytes of every file in order."""
        return (self._bytes(index) for index in range(len(self._members)))

    def _bytes(self, index: int) -> bytes | Problem:
        member = self._members[index]
        problem = self._known_problem(index)
        if member is None or problem is not None:
            return problem or self._problem(index, "is missing")
        try:
            with self.path.open("rb") as file:  # opened each time: processes that share a handle share its position
                file.seek(member.offset)
                content = file.read(member.size)
        except OSError as error:
            return self._problem(index, f"cannot be read ({error.strerror})")
        return content if len(content) == member.size else self._problem(index, "is cut short")


class CompressedArchive(Archive):
    """A tar.gz, which can only be read from its start."""

    def contents(self) -> Iterator[bytes | Problem]:
        """Yield the bytes of every file in order."""
        index = 0
        try:
            with _opened(self.path) as archive:
                for ordinal, info in enumerate(_infos(archive)):
                    if index == len(self._members):
                        return
                    member = self._members[index]
                    if member is None:
                        break
                    if ordinal == member.ordinal:
                        problem = self._known_problem(index)
                        content = problem if problem is not None else _read(archive, info)
                        yield content if content is not None else self._problem(index, "is cut short")
                        index += 1
        except _FAILURES:
            pass  # the rest is missing, which is said below
        for rest in range(index, len(self._members)):
            yield self._known_problem(rest) or self._problem(rest, "is cut short")


def open_archive(path: Path | str, split: str = "train") -> Archive:
    """Open a tar or tar.gz of images or sounds, whichever its first bytes say.

    Raises:
        DataError: see `Archive`.
    """
    try:
        with Path(path).open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return CompressedArchive(path, split) if compressed else PlainArchive(path, split)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if compressed else file
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=_StrictInfo) as archive:
            yield archive


def _infos(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        yield info


def _read(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes | None:
    stream = archive.extractfile(info)
    content = stream.read() if stream is not None else b""
    return content if len(content) == info.size else None


def _scan(path: Path) -> tuple[list[_Member], dict[str, bytes], str]:
    """Return the images and sounds, the tables, and what is wrong with the archive as a whole."""
    members: list[_Member] = []
    tables: dict[str, bytes] = {}
    try:
        with _opened(path) as archive:
            for ordinal, info in enumerate(_infos(archive)):
                parts = [part for part in PurePosixPath(info.name).parts if part not in ("/", ".")]
                if not parts or info.isdir() or any(part.startswith(".") or part == "__MACOSX" for part in parts):
                    continue
                name = "/".join(parts)
                regular = info.isreg() and not info.issparse()
                if kind_of(name) is not None:
                    problem = "" if regular else "is a link or another special member, not a file"
                    if info.size > MEMBER_LIMIT:
                        problem = f"is {info.size >> 20:,} MB, more than the limit of {MEMBER_LIMIT >> 20}"
                    members.append(_Member(name, ordinal, info.offset_data, info.size, problem))
                elif regular and name.lower().endswith(_TABLE_SUFFIXES) and info.size <= TABLE_LIMIT:
                    tables[name] = _read(archive, info) or b""
    except _FAILURES as error:
        if not members:
            empty = "is empty" if path.stat().st_size == 0 else f"is no tar archive that can be read ({error})"
            raise DataError(f"{path} {empty}") from error
        return (
            members,
            tables,
            f"is cut short or damaged after {len(members)} {prevailing(each.name for each in members).noun}",
        )
    return members, tables, ""


def _folder_around(names: list[str]) -> str:
    """Return the folder, ending in a slash, that holds every member and is no split, or nothing."""
    around = ""
    while True:
        tops = {name[len(around) :].split("/")[0] if "/" in name[len(around) :] else "" for name in names}
        top = tops.pop()
        if tops or not top or top.lower() in SPLIT_FOLDERS:
            return around
        around += f"{top}/"
