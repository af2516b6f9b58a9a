"""Turn rows of CSV, TSV and JSON Lines into text such as ``column: value``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.caption_tables import dedupe_headers

_MAX_ROW_CHARS = 8000


@dataclass(frozen=True, slots=True)
class TableRow:
    """One record; ``start`` and ``end`` are character offsets in the file's text."""

    text: str
    start: int
    end: int


def parse_rows(text: str, suffix: str, max_rows: int) -> list[TableRow]:
    """Return the rows in order, without empty ones.

    Raises MediaError ``broken``, ``empty`` or ``too_many_rows``.
    """
    rows: list[TableRow] = []
    parsed = _json_rows(text) if suffix in (".jsonl", ".ndjson") else _csv_rows(text, suffix)
    for row in parsed:
        if not row.text:
            continue
        if len(rows) == max_rows:
            raise MediaError("too_many_rows", f"has more than {max_rows:,} rows, the limit")
        rows.append(row)
    if not rows:
        raise MediaError("empty", "has no rows")
    return rows


class _LineReader:
    """Iterates lines for ``csv`` and counts the characters consumed."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.consumed = 0

    def __iter__(self) -> _LineReader:
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            raise StopIteration
        self.consumed += len(line)
        return line


def _csv_rows(text: str, suffix: str) -> Iterator[TableRow]:
    lines = _LineReader(text)
    # Only the header decides: sniffing whole files fails when cells contain sentences.
    header = text.split("\n", 1)[0]
    separator = "\t" if suffix == ".tsv" else max(",;\t|", key=header.count)
    try:
        reader = csv.reader(lines, delimiter=separator)
        columns = dedupe_headers([name.strip() for name in next(reader, [])])
        start = lines.consumed
        for cells in reader:
            # Cells beyond the header, or under an empty header, are kept without a name.
            padding = [""] * (len(cells) - len(columns))
            yield _row(zip(columns + padding, cells, strict=False), start, lines.consumed)
            start = lines.consumed
    except csv.Error as error:
        raise MediaError("broken", f"is not CSV: {error}") from error


def _json_rows(text: str) -> Iterator[TableRow]:
    start = 0
    # Not `splitlines`: it also splits at U+2028, which JSON allows inside strings.
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


def _row(values: Iterable[tuple[object, object]], start: int, end: int) -> TableRow:
    cells = ((str(key), _cell_text(value)) for key, value in values)
    text = "\n".join(f"{key}: {value}" if key else value for key, value in cells if value)
    return TableRow(text[:_MAX_ROW_CHARS], start, end)


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False)
