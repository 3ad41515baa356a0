"""What is known of images besides their pixels: which split, label, attributes and text each has.

It comes from tables in the "imagefolder" convention, `metadata.csv` or `metadata.jsonl` with a row an image:

- `file_name` (or `file`) names the image, relative to where the table lies;
- `split` says which split it belongs to;
- `label` is its class; `text` (or `caption`) its text;
- columns that hold nothing but 0 and 1 are yes-or-no attributes, all of them together;
- a single further column is the label where there is none yet, if it holds whole numbers of which some repeat;
- other columns say nothing that is used.

Without a table the folders tell: `train`, `test` and the like at the top are splits, and where every image lies in one
of two or more folders, those are the classes.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from kallima.data.source import demand_split
from kallima.data.spec import Attributes, Field, Label, Text
from kallima.errors import DataError

TABLES = ("metadata.csv", "metadata.jsonl")
TABLE_LIMIT = 1 << 29
"""Tables of more bytes are refused: they are held in memory."""

_NAME_COLUMNS = ("file_name", "file")
_TEXT_COLUMNS = ("text", "caption")
SPLIT_FOLDERS = frozenset({"train", "test", "val", "valid", "validation", "dev"})


@dataclass
class Table:
    """Rows by the image's name, cells by column; `where` names the table in messages."""

    where: str
    rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "Table") -> None:
        """Append the rows of another table.

        Raises:
            DataError: both list an image.
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

    Returns None where no column names the images.

    Raises:
        DataError: it is damaged, or lists an image twice.
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
    """The images of one split in order: the position of each among the names given (None: listed but not there), its
    name, and by field what else is known of it."""

    names: list[str]
    positions: list[int | None]
    splits: tuple[str, ...]
    fields: dict[str, Field]
    columns: dict[str, Sequence[Any] | np.ndarray]

    def values(self, index: int) -> dict[str, Any]:
        """Return the fields of example `index` besides its image."""
        return {name: column[index] for name, column in self.columns.items()}

    def json_values(self, index: int) -> dict[str, Any]:
        """Return the same as JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.values(index).items()
        }


def list_images(names: Sequence[str], table: Table | None, split: str, where: str) -> Listing:
    """Choose the images of `split` out of all `names` (relative, with slashes) and gather what is known of them.

    Classes and attributes are those of all splits together. `where` names the data in messages.

    Raises:
        DataError: there is no such split, or some images lack what others have.
    """
    split_folders = _has_split_folders(names)
    own_splits = table is not None and "split" in table.columns

    def split_of(name: str) -> str:
        if table is not None and own_splits:
            return table.columns["split"][table.rows[name]]
        return name.split("/")[0].lower() if split_folders else split

    def inner(name: str) -> str:
        return name.split("/", 1)[1] if split_folders else name

    fields, columns = _table_fields(table)
    if table is not None and (fields or own_splits):
        unlisted = [name for name in names if name not in table.rows]
        if unlisted:
            raise DataError(
                f"{table.where} lists only {len(names) - len(unlisted)} of {len(names)} images, not '{unlisted[0]}': "
                "list every image, or move the others away"
            )
    everywhere = [*names, *(table.rows if table is not None and own_splits else ())]
    splits = tuple(sorted(set(map(split_of, everywhere)), key=lambda each: (each != "train", each != "test", each)))
    if not (split_folders or own_splits):
        splits = ("train",)
    if "" in splits and table is not None:
        raise DataError(f"{table.where} leaves the split of some images open: fill in its column 'split'")
    demand_split(split, splits, where)
    if "label" not in fields:
        classes = _folder_classes(map(inner, names))
        if classes:
            fields["label"] = Label(classes)
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
            rows = [table.rows[each] for each in chosen]
            values[name] = _column(kind, [table.columns[column] for column in columns[name]], rows, chosen, table.where)
        elif isinstance(kind, Label):
            index = {each: i for i, each in enumerate(kind.classes)}
            values[name] = [index.get(inner(each).split("/")[0], -1) for each in chosen]
    return Listing(chosen, positions, splits, fields, values)


def _has_split_folders(names: Iterable[str]) -> bool:
    tops = {name.split("/")[0].lower() if "/" in name else "" for name in names}
    return "train" in tops and tops <= SPLIT_FOLDERS


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


def _table_fields(table: Table | None) -> tuple[dict[str, Field], dict[str, list[str]]]:
    """Return the fields that a table's columns make, and the columns of each; see the head of this file."""
    fields: dict[str, Field] = {}
    columns: dict[str, list[str]] = {}
    if table is None:
        return fields, columns
    free = [column for column in table.columns if column not in ("split", "label", *_TEXT_COLUMNS) and column]
    binary = [column for column in free if set(table.columns[column]) <= {"0", "1"}]
    label = "label" if "label" in table.columns else None
    if label is None and not binary and len(free) == 1:
        cells = table.columns[free[0]]
        if all(map(_is_whole, cells)) and len(set(cells)) < len(cells):
            label = free[0]
    if label is not None:
        fields["label"] = Label(class_names(cell for cell in table.columns[label] if cell))
        columns["label"] = [label]
    if binary:
        fields["attributes"] = Attributes(tuple(binary))
        columns["attributes"] = binary
    text = next((column for column in _TEXT_COLUMNS if column in table.columns), None)
    if text is not None:
        fields["text"] = Text()
        columns["text"] = [text]
    return fields, columns


def _column(
    kind: Field, cells: list[list[str]], rows: Sequence[int], names: Sequence[str], where: str
) -> Sequence[Any] | np.ndarray:
    """Return the values of one field for `rows`."""
    if isinstance(kind, Attributes):
        return np.array([[column[row] == "1" for column in cells] for row in rows], np.float32).reshape(-1, len(cells))
    chosen = [cells[0][row] for row in rows]
    empty = [name for name, cell in zip(names, chosen, strict=True) if not cell]
    if empty:
        what = "label" if isinstance(kind, Label) else "text"
        raise DataError(
            f"{where} gives no {what} for {len(empty)} of {len(names)} images, such as '{empty[0]}': "
            f"give every image a {what}, or none"
        )
    if isinstance(kind, Label):
        index: Mapping[str, int] = {name: i for i, name in enumerate(kind.classes)}
        return [index[cell] for cell in chosen]
    return chosen
