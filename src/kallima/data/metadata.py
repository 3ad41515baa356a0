"""What is known of files besides their content: which split, domain, label, attributes, values and text each has.

It comes from tables in the "imagefolder" convention, `metadata.csv` or `metadata.jsonl` with a row a file:

- `file_name` (or `file`) names the file, relative to where the table lies;
- `split` says which split it belongs to;
- `label` (or `class`, or `digit`) is its class, `domain` its domain where there are several (unpaired); `text` (or
  `caption`) its text; `audio` the sound that goes with an image, a file beside the table like those that it lists;
- columns that hold nothing but 0 and 1 are yes-or-no attributes, all of them together;
- a single further column is the label where there is none yet, if it holds whole numbers of which some repeat (an age
  is written 35.0, if it stands alone and is not to be a class);
- further columns that hold nothing but finite numbers are values, all of them together, standardised by their mean and
  deviation over the first split; a column that only numbers the rows, each one more than the last, is none;
- a further column of few words (at most 64, each in two rows or more on average) is an attribute for each of them: a
  column "hair" gives "blue hair", "red hair" and so on; where images have no text, all such columns together
  make one, "blue hair red eyes";
- other columns say nothing that is used, nor do those that number the files or group them for a test (`index`, `id`,
  `fold`) or tell what the files tell themselves (`samples`, `rate`, `seconds`, `duration`).

Without a table the folders tell: `train`, `test` and the like at the top are splits, `trainA`, `trainB`, `testA` and
the like splits and domains, and where every file lies in one of two or more folders, those are the classes.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from kallima.data.source import demand_split
from kallima.data.spec import Attributes, Audio, Field, Label, Text, Values
from kallima.errors import DataError

TABLES = ("metadata.csv", "metadata.jsonl")
TABLE_LIMIT = 1 << 29
"""Tables of more bytes are refused: they are held in memory."""

_NAME_COLUMNS = ("file_name", "file")
_TEXT_COLUMNS = ("text", "caption")
_SOUND_COLUMN = "audio"
_LABEL_COLUMNS = ("label", "class", "digit")
_NAMED = ("split", "domain", *_LABEL_COLUMNS, *_TEXT_COLUMNS, _SOUND_COLUMN)
_BESIDE = ("index", "id", "fold", "samples", "rate", "seconds", "duration")
MOST_WORDS = 64
"""A column of more different words says nothing that is used."""
SPLIT_FOLDERS = frozenset({"train", "test", "val", "valid", "validation", "dev"})
_DOMAIN_FOLDER = re.compile(f"({'|'.join(sorted(SPLIT_FOLDERS))})([A-Z])")
_LARGEST = float(np.finfo(np.float32).max)  # what is larger cannot be stored


@dataclass
class Table:
    """Rows by the file's name, cells by column; `where` names the table in messages."""

    where: str
    rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "Table") -> None:
        """Append the rows of another table.

        Raises:
            DataError: both list a file.
        """
        for name, row in other.rows.items():
            if name in self.rows:
                raise DataError(f"{other.where} lists '{name}', and so does {self.where}: keep one of the two rows")
            self.rows[name] = len(self.rows)
            for column in {**self.columns, **other.columns}:
                cells = self.columns.setdefault(column, [""] * (len(self.rows) - 1))
                cells.append(other.columns[column][row] if column in other.columns else "")


def read_table(data: bytes, where: str, folder: str = "") -> Table | None:
    """Read a table, a .jsonl or a .csv by the end of `where`; its names are relative to `folder`.

    Returns None where no column names the files.

    Raises:
        DataError: it is damaged, or lists a file twice.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    records = _json_lines(text, where) if where.endswith(".jsonl") else _csv_rows(text, where)
    table = Table(where)
    name_column = None
    for line, record in records:
        name_column = name_column or next((column for column in _NAME_COLUMNS if column in record), None)
        if name_column is None:
            return None
        if not record.get(name_column):
            raise DataError(f"{where} names no file in line {line}")
        name = str(PurePosixPath(folder, record[name_column].replace("\\", "/")))
        if name in table.rows:
            raise DataError(f"{where} lists '{record[name_column]}' twice, the second time in line {line}")
        table.rows[name] = len(table.rows)
        if record.get(_SOUND_COLUMN):
            record[_SOUND_COLUMN] = str(PurePosixPath(folder, record[_SOUND_COLUMN].replace("\\", "/")))
        for column in {**table.columns, **record}:
            if column != name_column:
                table.columns.setdefault(column, [""] * (len(table.rows) - 1)).append(record.get(column, ""))
    return table if table.rows else None


def _csv_rows(text: str, where: str) -> Iterable[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        for row in reader:
            if len(row) > len(header):
                raise DataError(f"{where} has {len(row)} cells in line {reader.line_num}, but {len(header)} columns")
            if row:
                yield reader.line_num, dict(zip(header, map(str.strip, row), strict=False))
    except csv.Error as error:
        raise DataError(f"{where} is damaged in line {reader.line_num}: {error}") from error


def _json_lines(text: str, where: str) -> Iterable[tuple[int, dict[str, str]]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except ValueError as error:
            raise DataError(f"{where} is no JSON in line {line}: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{where} holds no JSON object in line {line}")
        yield line, {name: _cell(value) for name, value in record.items() if not isinstance(value, list | dict)}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()


@dataclass(frozen=True)
class Listing:
    """The files of one split in order: the position of each among the names given (None: listed but not there), its
    name, and by field what else is known of it."""

    names: list[str]
    positions: list[int | None]
    splits: tuple[str, ...]
    fields: dict[str, Field]
    columns: dict[str, Sequence[Any] | np.ndarray]

    def values(self, index: int) -> dict[str, Any]:
        """Return the fields of example `index` besides its file."""
        return {name: column[index] for name, column in self.columns.items()}

    def json_values(self, index: int) -> dict[str, Any]:
        """Return the same as JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.values(index).items()
        }


def list_files(names: Sequence[str], table: Table | None, split: str, where: str, noun: str) -> Listing:
    """Choose the files of `split` out of all `names` (relative, with slashes) and gather what is known of them.

    Classes and attributes are those of all splits together. `where` names the data in messages, and `noun` says what
    the files hold.

    Raises:
        DataError: there is no such split, or some files lack what others have.
    """
    place_of = _folder_rule(names)
    own_splits = table is not None and "split" in table.columns

    def split_of(name: str) -> str:
        if table is not None and own_splits:
            return table.columns["split"][table.rows[name]]
        return place_of(name).split

    table = _spelled_out(table, captioned=noun == "images")
    fields, columns = _table_fields(table)
    if table is not None and (columns or own_splits):
        unlisted = [name for name in names if name not in table.rows]
        if unlisted:
            raise DataError(
                f"{table.where} lists only {len(names) - len(unlisted)} of {len(names)} {noun}, not '{unlisted[0]}': "
                "list every one, or move the others away"
            )
    everywhere = [*names, *(table.rows if table is not None and own_splits else ())]
    splits = tuple(sorted(set(map(split_of, everywhere)), key=lambda each: (each != "train", each != "test", each)))
    if "" in splits and table is not None:
        raise DataError(f"{table.where} leaves the split of some {noun} open: fill in its column 'split'")
    demand_split(split, splits, where)
    if "label" not in fields and (classes := _folder_classes(place_of(name).inner for name in names)):
        fields["label"] = Label(classes)
    if "domain" not in fields and (domains := sorted({place_of(name).domain for name in names} - {""})):
        fields["domain"] = Label(tuple(domains))
    if table is not None and "values" in columns:
        rows = [row for name, row in table.rows.items() if split_of(name) == splits[0]]
        fields["values"] = standardised(columns["values"], _numbers(table, columns["values"], rows))
    positions: list[int | None] = [i for i, name in enumerate(names) if split_of(name) == split]
    chosen = [names[i] for i in positions if i is not None]
    if table is not None:
        there = set(names)
        gone = [name for name in table.rows if name not in there and split_of(name) == split]
        chosen += gone
        positions += [None] * len(gone)
    values: dict[str, Sequence[Any] | np.ndarray] = {}
    for name, kind in fields.items():
        if table is not None and name in columns:
            values[name] = _column(name, kind, table, columns[name], chosen, noun)
        elif isinstance(kind, Label):
            index = {each: i for i, each in enumerate(kind.classes)}
            places = map(place_of, chosen)
            values[name] = [index.get(p.domain if name == "domain" else p.inner.split("/")[0], -1) for p in places]
    return Listing(chosen, positions, splits, fields, values)


@dataclass(frozen=True)
class _Place:
    """What the folders say of a file: its split, its domain ("" where there are none), its path below those."""

    split: str
    domain: str
    inner: str


def _folder_rule(names: Sequence[str]) -> Callable[[str], _Place]:
    """Return what tells the place of a file; where no folder is a split, all lie in "train"."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    found = [_DOMAIN_FOLDER.fullmatch(top) for top in tops]
    domains = all(found) and len({each[2] for each in found if each and each[1] == "train"}) > 1
    lower = {top.lower() for top in tops}
    splits = "train" in lower and lower <= SPLIT_FOLDERS

    def place_of(name: str) -> _Place:
        top, _, inner = name.partition("/")
        if domains and (both := _DOMAIN_FOLDER.fullmatch(top)):
            return _Place(both[1], both[2], inner)
        return _Place(top.lower(), "", inner) if splits or domains else _Place("train", "", name)

    return place_of


def _folder_classes(names: Iterable[str]) -> tuple[str, ...] | None:
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    return class_names(tops) if len(tops) >= 2 and "" not in tops else None


def class_names(values: Iterable[str]) -> tuple[str, ...]:
    """Sort class names: whole numbers by value, else by letters."""
    distinct = set(values)
    numeric = all(_is_whole(value) for value in distinct)
    return tuple(sorted(distinct, key=(lambda value: (int(value), value)) if numeric else None))


def _is_whole(value: str) -> bool:
    return value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()


def _spelled_out(table: Table | None, *, captioned: bool) -> Table | None:
    """Return the table with a column of 0 and 1 in the place of each word of the columns that hold few of them.

    `captioned` adds a text that has those words.
    """
    if table is None:
        return None
    columns: dict[str, list[str]] = {}
    spelled: list[str] = []
    for column, cells in table.columns.items():
        words = sorted(set(cells))
        few = 2 <= len(words) <= MOST_WORDS and 2 * len(words) <= len(cells) and "" not in words
        if column in _NAMED or not few or any(map(_is_number, words)):
            columns[column] = cells
        else:
            columns |= {f"{word} {column}": ["1" if cell == word else "0" for cell in cells] for word in words}
            spelled.append(column)
    if captioned and spelled and not any(column in columns for column in _TEXT_COLUMNS):
        rows = zip(*(table.columns[column] for column in spelled), strict=True)
        columns[_TEXT_COLUMNS[0]] = [
            " ".join(f"{word} {column}" for word, column in zip(row, spelled, strict=True)) for row in rows
        ]
    return Table(table.where, table.rows, columns)


def _table_fields(table: Table | None) -> tuple[dict[str, Field], dict[str, list[str]]]:
    """Return the fields that a table's columns make, and the columns of each; see the head of this file.

    Values are among the columns only: their field tells the mean of a split.
    """
    fields: dict[str, Field] = {}
    columns: dict[str, list[str]] = {}
    if table is None:
        return fields, columns
    label = next((column for column in _LABEL_COLUMNS if column in table.columns), None)
    free = [each for each in table.columns if each and each != label and each not in (*_NAMED, *_BESIDE)]
    binary = [column for column in free if set(table.columns[column]) <= {"0", "1"}]
    if label is None and not binary and len(free) == 1:
        cells = table.columns[free[0]]
        if all(map(_is_whole, cells)) and len(set(cells)) < len(cells):
            label = free[0]
    for name, column in (("label", label), ("domain", "domain" if "domain" in table.columns else None)):
        if column is not None:
            fields[name] = Label(class_names(cell for cell in table.columns[column] if cell))
            columns[name] = [column]
    if binary:
        fields["attributes"] = Attributes(tuple(binary))
        columns["attributes"] = binary
    text = next((column for column in _TEXT_COLUMNS if column in table.columns), None)
    if text is not None:
        fields["text"] = Text()
        columns["text"] = [text]
    if _SOUND_COLUMN in table.columns:
        fields["audio"] = Audio(None, None)
        columns["audio"] = [_SOUND_COLUMN]
    numbers = [c for c in free if c not in binary and c != label and _are_values(table.columns[c])]
    if numbers:
        columns["values"] = numbers
    return fields, columns


def _are_values(cells: Sequence[str]) -> bool:
    if not all(map(_is_number, cells)):
        return False
    if not all(map(_is_whole, cells)):
        return True
    whole = [int(cell) for cell in cells]
    return whole != list(range(whole[0], whole[0] + len(whole)))


def _is_number(cell: str) -> bool:
    try:
        return "_" not in cell and abs(float(cell)) <= _LARGEST  # which NaN is not
    except ValueError:
        return False


def _numbers(table: Table, columns: Sequence[str], rows: Sequence[int]) -> np.ndarray:
    numbers = [[float(table.columns[column][row]) for column in columns] for row in rows]
    return np.array(numbers, np.float64).reshape(-1, len(columns))


def standardised(names: Sequence[str], numbers: np.ndarray) -> Values:
    """Return the field of values called `names`, standardised by these (N, V): a constant one is only shifted."""
    offset, deviation = numbers.mean(axis=0), numbers.std(axis=0)
    scale = np.where((numbers == numbers[:1]).all(axis=0) | (deviation == 0), 1.0, deviation)
    return Values(tuple(names), tuple(offset.tolist()), tuple(scale.tolist()))


def _column(
    name: str, kind: Field, table: Table, columns: Sequence[str], files: Sequence[str], noun: str
) -> Sequence[Any] | np.ndarray:
    """Return what the table says of `files` in one field."""
    rows = [table.rows[file] for file in files]
    if isinstance(kind, (Attributes, Values)):
        return _numbers(table, columns, rows).astype(np.float32)
    cells = [table.columns[columns[0]][row] for row in rows]
    empty = [file for file, cell in zip(files, cells, strict=True) if not cell]
    if empty:
        raise DataError(
            f"{table.where} gives no {name} for {len(empty)} of {len(files)} {noun}, such as '{empty[0]}': "
            f"give every one a {name}, or none"
        )
    if isinstance(kind, Label):
        index: Mapping[str, int] = {each: i for i, each in enumerate(kind.classes)}
        return [index[cell] for cell in cells]
    return cells
