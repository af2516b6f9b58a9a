"""Tables of captions and metadata: one row a file, kept as written until a file asks for it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sightline.storage.ingest.discover.column_names import repeated, told_apart
from sightline.storage.ingest.discover.sidecars import (
    CAPTION_KEYS,
    CAPTURED_KEY,
    Report,
    Sidecar,
    from_mapping,
    parse_object,
)

_FILE_KEYS = ("file_name", "filename", "file", "image", "path", "name")


@dataclass(slots=True)
class Table:
    """Rows by file name, relative to the table's folder.

    A row of JSON is its text and one of CSV its fields: parsed dictionaries of a large table
    would take ten times the memory.
    """

    name: str
    columns: list[str] | None
    rows: dict[str, str | list[str]] = field(default_factory=dict)

    def lookup(self, relative: str, report: Report) -> Sidecar | None:
        """What the table says of a file; broken rows are reported."""
        row = self.rows.get(_normal(relative))
        if row is None:
            return None
        try:
            if isinstance(row, str):
                values = parse_object(row)
                _pop_file(values)
                return from_mapping(values)
            values = dict(zip(self.columns or [], row, strict=False))
            _pop_file(values)
            # An empty cell says nothing.
            return from_mapping({key: value for key, value in values.items() if value != ""})
        except ValueError as error:
            report("sidecar_broken", self.name, f"the row of {relative!r}: {error}")
            return None


def read_table(name: str, data: bytes, max_row_bytes: int, report: Report) -> Table:
    """Index ``captions.csv``, ``metadata.csv`` or ``metadata.jsonl``; ``name`` is for reports."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report("sidecar_broken", name, f"is not UTF-8 (byte {error.start:,})")
        return Table(name, None)
    if name.endswith(".jsonl"):
        return _read_jsonl(name, text, max_row_bytes, report)
    return _read_csv(name, text, max_row_bytes, report)


def _read_jsonl(name: str, text: str, max_row_bytes: int, report: Report) -> Table:
    table = Table(name, None)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if len(line) > max_row_bytes:
            report("sidecar_broken", name, f"line {number:,} is longer than {max_row_bytes:,}")
            continue
        try:
            file = _pop_file(parse_object(line))
        except ValueError as error:
            report("sidecar_broken", name, f"line {number:,}: {error}")
            continue
        _add(table, file, line, number, report)
    return table


def _read_csv(name: str, text: str, max_row_bytes: int, report: Report) -> Table:
    # newline="" semantics: the csv module takes care of line ends within quotes.
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = _csv_rows(reader, name, report)
    first = next(rows, None)
    if first is None:
        return Table(name, None)
    written = [_column(cell.strip()) for cell in first]
    header = told_apart(written)
    table = Table(name, header)
    if not any(key in header for key in _FILE_KEYS):
        if len(first) != 2:
            wanted = ", ".join(_FILE_KEYS[:3])
            report("sidecar_broken", name, f"has no column that names the file ({wanted})")
            return table
        # Two columns and no header: the file, and what it shows.
        table.columns = ["file_name", CAPTION_KEYS[0]]
        _add(table, first[0], first, 1, report)
    elif twice := repeated(written):
        listed = ", ".join(repr(column) for column in twice)
        message = f"has columns of one name: {listed}; the later ones are kept with a number"
        report("column_repeated", name, message)
    columns = table.columns or []
    place = next(columns.index(key) for key in _FILE_KEYS if key in columns)
    for row in rows:
        if not any(row):
            continue
        if len(row) > len(columns) or len(row) <= place:
            message = f"line {reader.line_num:,} has {len(row)} columns of {len(columns)}"
            report("sidecar_broken", name, message)
        elif sum(map(len, row)) > max_row_bytes:
            report("sidecar_broken", name, f"line {reader.line_num:,} is too long")
        else:
            _add(table, row[place], row, reader.line_num, report)
    return table


def _column(name: str) -> str:
    """Columns that mean something to us in any case; others as they are."""
    lower = name.lower()
    return lower if lower in (*_FILE_KEYS, *CAPTION_KEYS, CAPTURED_KEY) else name


def _csv_rows(reader: Iterator[list[str]], name: str, report: Report) -> Iterator[list[str]]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report("sidecar_broken", name, f"line {getattr(reader, 'line_num', 0):,}: {error}")


def _add(table: Table, file: object, row: str | list[str], number: int, report: Report) -> None:
    if not isinstance(file, str) or not file.strip():
        wanted = ", ".join(_FILE_KEYS[:3])
        report("sidecar_broken", table.name, f"line {number:,} names no file ({wanted})")
        return
    key = _normal(file.strip())
    if key in table.rows:
        report("sidecar_broken", table.name, f"line {number:,} names {file!r} again")
        return
    table.rows[key] = row


def _pop_file(values: dict[str, object]) -> object:
    """Take out and return the value of the first key that names the file."""
    for key in _FILE_KEYS:
        if key in values:
            return values.pop(key)
    return None


def _normal(path: str) -> str:
    """As both sides can say it: composed characters (macOS decomposes them), no ``./``."""
    return unicodedata.normalize("NFC", str(PurePosixPath(path.replace("\\", "/"))))


class Tables:
    """The tables that hold for a folder: its own and those of the folders above it."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, list[Table]]] = []

    def enter(self, folder: str, tables: list[Table]) -> None:
        """Go into ``folder`` (relative to the root, ``""`` for the root itself)."""
        self._stack.append((folder, tables))

    def leave(self) -> None:
        """Go out of the last folder entered; its tables are forgotten."""
        self._stack.pop()

    def has(self, folder: str) -> bool:
        """Whether the tables of ``folder`` are at hand."""
        return any(folder == entered for entered, _ in self._stack)

    def keep_above(self, folder: str) -> None:
        """Leave every folder that is neither ``folder`` nor above it."""
        while self._stack and not f"{folder}/".startswith(f"{self._stack[-1][0]}/".lstrip("/")):
            self._stack.pop()

    def lookup(self, relative: str, report: Report) -> list[Sidecar]:
        """All that is said of a file of the root, the closest table first."""
        found = []
        for folder, tables in reversed(self._stack):
            rest = PurePosixPath(relative).relative_to(folder) if folder else relative
            found += [said for table in tables if (said := table.lookup(str(rest), report))]
        return found
