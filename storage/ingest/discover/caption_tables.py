"""Parse tables of captions and metadata: one row per file, parsed on lookup."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Protocol

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.sidecars import (
    CAPTION_KEYS,
    CAPTURED_KEY,
    Sidecar,
    WarningSink,
    parse_mapping,
    parse_object,
)
from sightline.storage.ingest.plain_text.column_types import ColumnTypes
from sightline.storage.ingest.plain_text.csv_dialect import sniff_dialect
from sightline.storage.ingest.plain_text.text_encoding import decode_text
from sightline.storage.unicode_forms import normalize_form

FILE_KEYS = ("file_name", "filename", "file", "image", "path", "name")
#: Columns that are known by these names, in any case, and are never numbers or the like.
_TEXT_COLUMNS = frozenset({*FILE_KEYS, *CAPTION_KEYS, CAPTURED_KEY})
_MAX_PATH_CHARS = 4_096
MAX_ROWS = 1_000_000
_FILE_KEYS_HINT = ", ".join(FILE_KEYS[:3])


@dataclass(slots=True)
class CaptionTable:
    """Rows by file name, relative to the table's folder.

    A JSON row is its text and a CSV row its fields: parsed dictionaries of a large table would take
    ten times the memory. JSON values keep their types; the columns of a CSV table get theirs from
    all rows.
    """

    name: str
    columns: ColumnTypes | None = None
    rows: dict[str, str | list[str]] = field(default_factory=dict)

    def lookup(self, path: str, warn: WarningSink) -> Sidecar | None:
        """Return the sidecar in the row of a file; a broken row is a warning."""
        row = self.rows.get(normalize_path(path))
        if row is None:
            return None
        try:
            if isinstance(row, str):
                values = parse_object(row)
            else:
                values = dict(self.columns.convert(row)) if self.columns else {}
            _pop_file(values)
            return parse_mapping(values)
        except ValueError as error:
            warn("sidecar_broken", self.name, f"the row of {path!r}: {error}")
            return None


class SidecarTable(Protocol):
    """A file that describes several others."""

    def lookup(self, path: str, warn: WarningSink) -> Sidecar | None:
        """Return the sidecar of a file, whose path is relative to the folder of the table."""
        ...


class CaptionTableStack:
    """The tables of the current folder and of the folders above it."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Sequence[SidecarTable]]] = []

    def enter(self, folder: str, tables: Sequence[SidecarTable]) -> None:
        """Go into a folder (relative to the root, ``""`` for the root itself)."""
        while self._stack and not _is_below(folder, self._stack[-1][0]):
            self._stack.pop()
        self._stack.append((folder, tables))

    def lookup(self, path: str, warn: WarningSink) -> list[Sidecar]:
        """Return the rows for a path relative to the root, closest table first."""
        sidecars = []
        for folder, tables in reversed(self._stack):
            if _is_below(path, folder):
                relative = path[len(folder) + 1 :] if folder else path
                sidecars += [row for table in tables if (row := table.lookup(relative, warn))]
        return sidecars


def parse_caption_table(
    name: str,
    data: bytes,
    max_row_bytes: int,
    warn: WarningSink,
    report_alive: Callable[[], None] = lambda: None,
) -> CaptionTable:
    """Index a table of captions or metadata: CSV, TSV or JSON lines.

    ``name`` is used in warnings; broken rows are warnings. ``report_alive`` is called for each row.
    """
    try:
        text, _, warning = decode_text(data)
    except MediaError as error:
        warn("sidecar_broken", name, str(error))
        return CaptionTable(name)
    if warning is not None:
        warn("encoding_guessed", name, warning)
    if name.endswith(".jsonl"):
        return _parse_jsonl(name, text, max_row_bytes, warn, report_alive)
    return _parse_csv(name, text, max_row_bytes, warn, report_alive)


def dedupe_headers(names: Sequence[str]) -> list[str]:
    """Number repeated column names; columns without a name stay without one.

    >>> dedupe_headers(["price", "", "price", "price (2)"])
    ['price', '', 'price (3)', 'price (2)']
    """
    written = Counter(names)
    unique = {name for name, count in written.items() if count == 1}
    used: set[str] = set()
    numbers: Counter[str] = Counter()
    headers: list[str] = []
    for name in names:
        candidate = name
        while name and (candidate in used or (candidate in unique and candidate != name)):
            numbers[name] += 1  # never starts again at 2: a table may repeat a name very often
            candidate = f"{name} ({numbers[name] + 1})"
        used.add(candidate)
        headers.append(candidate)
    return headers


def _parse_jsonl(
    name: str, text: str, max_row_bytes: int, warn: WarningSink, report_alive: Callable[[], None]
) -> CaptionTable:
    table = CaptionTable(name)
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        report_alive()
        if number > MAX_ROWS:
            warn("sidecar_broken", name, f"has more than {MAX_ROWS:,} rows; the rest is left out")
            break
        if len(line) > max_row_bytes and line.strip():
            warn("sidecar_broken", name, f"line {number:,} is longer than {max_row_bytes:,}")
        elif line.strip():
            try:
                add_row(table, _pop_file(parse_object(line)), line, number, warn)
            except ValueError as error:
                warn("sidecar_broken", name, f"line {number:,}: {error}")
    return table


def _parse_csv(
    name: str, text: str, max_row_bytes: int, warn: WarningSink, report_alive: Callable[[], None]
) -> CaptionTable:
    dialect = sniff_dialect(text, PurePosixPath(name).suffix)
    # newline="": the csv module handles line ends inside quotes.
    reader = dialect.reader(io.StringIO(text[dialect.skipped :], newline=""))
    broken = partial(warn, "sidecar_broken", name)
    rows = _csv_rows(reader, broken)
    first = next(rows, None)
    if first is None:
        return CaptionTable(name)
    written = [cell.strip() for cell in first]
    written = [name.lower() if name.lower() in _TEXT_COLUMNS else name for name in written]
    columns = dedupe_headers(written)
    table = CaptionTable(name, ColumnTypes(columns, _TEXT_COLUMNS))
    if not any(key in columns for key in FILE_KEYS):
        if len(first) != 2:
            broken(f"has no column with the file name ({_FILE_KEYS_HINT})")
            return table
        # Two columns without a header: file name and caption.
        columns = ["file_name", CAPTION_KEYS[0]]
        table.columns = ColumnTypes(columns, _TEXT_COLUMNS)
        add_row(table, first[0], first, 1, warn)
    elif repeated := [each for each, n in Counter(written).items() if each and n > 1]:
        listed = ", ".join(repr(column) for column in repeated)
        message = f"has repeated columns: {listed}; the later ones get a number"
        warn("column_repeated", name, message)
    file_column = next(columns.index(key) for key in FILE_KEYS if key in columns)
    for number, row in enumerate(rows, 1 + len(table.rows)):
        report_alive()
        if number > MAX_ROWS:
            broken(f"has more than {MAX_ROWS:,} rows; the rest is left out")
            break
        if not any(row):
            continue
        if len(row) > len(columns) or len(row) <= file_column:
            broken(f"line {reader.line_num:,} has {len(row)} columns of {len(columns)}")
        elif sum(map(len, row)) > max_row_bytes:
            broken(f"line {reader.line_num:,} is longer than {max_row_bytes:,}")
        else:
            add_row(table, row[file_column], row, reader.line_num, warn)
    return table


def _csv_rows(reader: Any, broken: Callable[[str], None]) -> Iterator[list[str]]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken(f"line {reader.line_num:,}: {error}")


def add_row(
    table: CaptionTable, file: object, row: str | list[str], number: int, warn: WarningSink
) -> None:
    if not isinstance(file, str) or not file.strip():
        warn("sidecar_broken", table.name, f"line {number:,} has no file name ({_FILE_KEYS_HINT})")
    elif len(file) > _MAX_PATH_CHARS:
        reason = f"line {number:,} has a file name of {len(file):,} characters"
        warn("sidecar_broken", table.name, f"{reason}; the limit is {_MAX_PATH_CHARS:,}")
    elif (key := normalize_path(file.strip())) in table.rows:
        warn("sidecar_broken", table.name, f"line {number:,} repeats {file!r}")
    else:
        table.rows[key] = row
        if table.columns is not None and not isinstance(row, str):
            table.columns.add(row)


def _pop_file(values: dict[str, object]) -> object:
    """Remove and return the value of the first key for the file name."""
    return next((values.pop(key) for key in FILE_KEYS if key in values), None)


def normalize_path(path: str) -> str:
    """Compose characters (macOS decomposes them) and remove ``./``."""
    return normalize_form("NFC", str(PurePosixPath(path.replace("\\", "/"))))


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
