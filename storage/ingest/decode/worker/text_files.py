"""Read the rows of tables of text: CSV, TSV, JSON and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import TextPassage
from sightline.storage.ingest.discover.caption_tables import dedupe_headers
from sightline.storage.ingest.plain_text.csv_dialect import sniff_dialect

_MAX_ROW_CHARS = 8000
_MAX_NAME_CHARS = 100  # of a column, because each row repeats it


def parse_rows(text: str, suffix: str, max_rows: int) -> Iterator[TextPassage]:
    """Yield rows of CSV, TSV or JSON Lines as text such as ``column: value``.

    Empty rows are left out. ``chars`` are offsets in ``text``. Raises MediaError ``broken``,
    ``empty`` or ``too_many_rows``.
    """
    count = 0
    parsed = _json_rows(text) if suffix in (".jsonl", ".ndjson") else _csv_rows(text, suffix)
    for row in parsed:
        if not row.text:
            continue
        if count == max_rows:
            raise MediaError("too_many_rows", f"has more than {max_rows:,} rows, the limit")
        count += 1
        yield row
    if not count:
        raise MediaError("empty", "has no rows")


def _csv_rows(text: str, suffix: str) -> Iterator[TextPassage]:
    consumed = 0

    def read_lines() -> Iterator[str]:
        nonlocal consumed
        for line in io.StringIO(text, newline=""):
            consumed += len(line)
            yield line

    dialect = sniff_dialect(text, suffix)
    lines = read_lines()
    if dialect.skipped:
        next(lines)
    try:
        start, columns, number = consumed, list[str](), 0
        for cells in dialect.reader(lines):
            number += any(cells)
            if not columns and number == dialect.title_rows + 1 and dialect.has_header:
                columns = dedupe_headers([name.strip() for name in cells])
            else:
                # Cells without a column, or under an empty header, are kept without a name.
                named = zip_longest(columns[: len(cells)], cells, fillvalue="")
                yield _row(named, start, consumed)
            start = consumed
    except csv.Error as error:
        raise MediaError("broken", f"is not CSV: {error}") from error


def _json_rows(text: str) -> Iterator[TextPassage]:
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


def _row(values: Iterable[tuple[object, object]], start: int, end: int) -> TextPassage:
    lines: list[str] = []
    length = 0
    for key, value in values:
        if length > _MAX_ROW_CHARS:
            break
        if cell := _cell_text(value):
            name = str(key)[:_MAX_NAME_CHARS]
            lines.append(f"{name}: {cell}" if name else cell)
            length += len(lines[-1]) + 1
    return TextPassage("\n".join(lines)[:_MAX_ROW_CHARS], chars=(start, end))


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False)
