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

MAX_ROW_CHARS = 8_000
_MAX_NAME_CHARS = 100  # of a column, because each row repeats it
_MAX_JSON_DEPTH = 10  # deeper values are shown as JSON


def parse_rows(text: str, suffix: str, max_rows: int) -> Iterator[TextPassage]:
    """Yield rows of CSV, TSV, JSON or JSON Lines as text such as ``column: value``.

    Empty rows are left out. ``chars`` are offsets in ``text``. Raises MediaError ``broken``,
    ``empty`` or ``too_many_rows``.
    """
    count = 0
    if suffix == ".json":
        parsed = _json_document_rows(text)
    else:
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


def _json_document_rows(text: str) -> Iterator[TextPassage]:
    """Yield a row for each object of a list, and for the other values of an object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError("broken", f"is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        items = document if isinstance(document, list) else [document]
        yield from (_object_row(item) for item in items)
        return
    lists = {key: value for key, value in document.items() if _is_list_of_objects(value)}
    yield _object_row({key: value for key, value in document.items() if key not in lists})
    for key, items in lists.items():
        yield from (_object_row({key: item}) for item in items)


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _object_row(value: object) -> TextPassage:
    row = _row(_flattened(value, "", 0), 0, 0)
    return row._replace(chars=None)


def _flattened(value: object, name: str, depth: int) -> Iterator[tuple[object, object]]:
    """Yield the values inside of an object with their path, such as ``address.city``."""
    if isinstance(value, Mapping) and depth < _MAX_JSON_DEPTH:
        for key, item in value.items():
            yield from _flattened(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        yield name, ", ".join(map(str, value))
    else:
        yield name or "value", value


def _row(values: Iterable[tuple[object, object]], start: int, end: int) -> TextPassage:
    text = row_text((str(key), _cell_text(value)) for key, value in values)
    return TextPassage(text, chars=(start, end))


def row_text(values: Iterable[tuple[str, str]], lead: str = "") -> str:
    """Return a row as lines of ``column: value``, after the line ``lead``."""
    lines = [lead] if lead else []
    length = 0
    for name, cell in values:
        if length > MAX_ROW_CHARS:
            break
        if cell:
            lines.append(f"{name[:_MAX_NAME_CHARS]}: {cell}" if name else cell)
            length += len(lines[-1]) + 1
    return "\n".join(lines)[:MAX_ROW_CHARS]


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False)
