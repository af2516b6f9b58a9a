"""Rows of CSV, TSV and JSON Lines as text: ``column: value``, each with its place in the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.column_names import told_apart

_LONGEST_ROW_CHARS = 8000


@dataclass(frozen=True, slots=True)
class Row:
    """One record; ``start`` and ``end`` are characters of the file's text."""

    text: str
    start: int
    end: int


def read_rows(text: str, suffix: str, max_rows: int) -> list[Row]:
    """Rows in order, without those that say nothing. Raises MediaError ``broken``, ``empty`` or
    ``too_many_rows``.
    """
    rows: list[Row] = []
    found = _json_rows(text) if suffix in (".jsonl", ".ndjson") else _csv_rows(text, suffix)
    for row in found:
        if not row.text:
            continue
        if len(rows) == max_rows:
            raise MediaError("too_many_rows", f"has over {max_rows:,} rows, the limit")
        rows.append(row)
    if not rows:
        raise MediaError("empty", "has no rows")
    return rows


class _Counted:
    """Lines for ``csv``, and how far they have been taken."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.taken = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            raise StopIteration
        self.taken += len(line)
        return line


def _csv_rows(text: str, suffix: str) -> Iterator[Row]:
    lines = _Counted(text)
    # The header alone decides: sniffing whole files guesses wrong where cells hold sentences.
    header = text.split("\n", 1)[0]
    separator = "\t" if suffix == ".tsv" else max(",;\t|", key=header.count)
    try:
        reader = csv.reader(lines, delimiter=separator)
        columns = told_apart([name.strip() for name in next(reader, [])])
        start = lines.taken
        for cells in reader:
            # Cells past the header, or under a column without a name, say something all the same.
            named = zip(columns + [""] * (len(cells) - len(columns)), cells, strict=False)
            yield _row(named, start, lines.taken)
            start = lines.taken
    except csv.Error as error:
        raise MediaError("broken", f"is not CSV: {error}") from error


def _json_rows(text: str) -> Iterator[Row]:
    start = 0
    # Not `splitlines`: it parts at U+2028 and others as well, which JSON allows within a string.
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        end = start + len(line)
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise MediaError("broken", f"line {number:,} is not JSON: {error}") from error
            values = value if isinstance(value, Mapping) else {"value": value}
            yield _row(values.items(), start, end)
        start = end


def _row(values: Iterable[tuple[object, object]], start: int, end: int) -> Row:
    said = ((str(key), _shown(value)) for key, value in values)
    text = "\n".join(f"{key}: {value}" if key else value for key, value in said if value)
    return Row(text[:_LONGEST_ROW_CHARS], start, end)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False)
