"""Find out how a table of text is written: its separator, quotes and header."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sightline.storage.ingest.plain_text.column_types import is_typed, is_year

if TYPE_CHECKING:
    from _csv import Reader

_SEPARATORS = "\t;|,"  # of equally good ones, the first
_SAMPLE_CHARS = 64 << 10
_SAMPLE_ROWS = 100
_MAX_TITLE_ROWS = 10
_GOOD_SHARE = 0.6
_SEPARATOR_LINE = "sep="


class TableDialect(NamedTuple):
    """How a table is written.

    ``skipped`` characters before the table are Excel's line ``sep=;``. The first ``title_rows``
    rows are above the header; ``has_header`` is whether there is one.
    """

    separator: str = ","
    escape: str | None = None
    is_quoted: bool = True
    skipped: int = 0
    title_rows: int = 0
    has_header: bool = True

    def reader(self, lines: Iterable[str]) -> Reader:
        """Return a reader of rows. The lines must have their ends."""
        return csv.reader(
            lines,
            delimiter=self.separator,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE,
        )


def sniff_dialect(text: str, suffix: str = ".csv") -> TableDialect:
    """Return the dialect of a table: the one in which most rows have as many cells.

    ``suffix`` is that of the file: of equally good separators, ``.tsv`` takes the tab.
    """
    dialect = _separator_line(text)
    sample = text[dialect.skipped : dialect.skipped + _SAMPLE_CHARS]
    is_complete = len(text) <= dialect.skipped + _SAMPLE_CHARS
    if not is_complete and "\n" in sample:
        sample = sample[: sample.rfind("\n") + 1]
    if dialect.skipped:
        candidates = [dialect]
    else:
        separators = dict.fromkeys("\t" + _SEPARATORS) if suffix == ".tsv" else _SEPARATORS
        candidates = [dialect._replace(separator=each) for each in separators if each in sample]
    has_open_quote = is_complete and sample.count('"') % 2 == 1
    best, best_score, best_rows = candidates[0] if candidates else dialect, 0.0, None
    for candidate in itertools.chain.from_iterable(_variants(each, sample) for each in candidates):
        rows = _read_rows(candidate, sample)
        score = _consistency(rows)
        if candidate.is_quoted and has_open_quote:
            score /= 2
        if score > best_score:
            best, best_score, best_rows = candidate, score, rows
    if best_score < _GOOD_SHARE and not dialect.skipped:
        # Rows of very different lengths: only the header decides.
        header = sample.split("\n", 1)[0]
        separator = "\t" if suffix == ".tsv" else max(",;\t|", key=header.count)
        best = dialect._replace(separator=separator)
        return best._replace(has_header=not _is_data(_read_rows(best, sample), 0))
    rows = best_rows if best_rows is not None else _read_rows(best, sample)
    title_rows = _title_rows(rows)
    return best._replace(title_rows=title_rows, has_header=not _is_data(rows, title_rows))


def _separator_line(text: str) -> TableDialect:
    line = text.split("\n", 1)[0].rstrip("\r").strip('"')
    if line.lower().startswith(_SEPARATOR_LINE) and len(line) == len(_SEPARATOR_LINE) + 1:
        skipped = text.find("\n") + 1
        return TableDialect(line[-1], skipped=skipped or len(text))
    return TableDialect()


def _variants(dialect: TableDialect, sample: str) -> Iterator[TableDialect]:
    if '\\"' in sample:
        yield dialect._replace(escape="\\")
    yield dialect
    if '"' in sample:
        yield dialect._replace(is_quoted=False)


def _read_rows(dialect: TableDialect, sample: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in dialect.reader(io.StringIO(sample, newline="")):
            if any(row):
                rows.append(row)
            if len(rows) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return []
    return rows


def _usual_length(rows: Sequence[Sequence[str]]) -> int:
    """Return the most frequent number of cells, of rows with several."""
    counts = Counter(len(row) for row in rows if len(row) > 1)
    return counts.most_common(1)[0][0] if counts else 1


def _consistency(rows: Sequence[Sequence[str]]) -> float:
    """Return the share of rows with the usual number of cells; 0 for one column."""
    length = _usual_length(rows)
    if length == 1:
        return 0.0
    return sum(len(row) == length for row in rows) / len(rows)


def _title_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return how many short rows are above the first one of the usual length."""
    length = _usual_length(rows)
    for number, row in enumerate(rows[: _MAX_TITLE_ROWS + 1]):
        if len(row) > length / 2 or sum(map(bool, row)) > 1:
            # A title is followed by the header, not by shorter rows.
            return number if len(row) == length and number + 1 < len(rows) else 0
    return 0


def _is_data(rows: Sequence[Sequence[str]], first: int) -> bool:
    """Return whether a row is data like those below it, and not a header."""
    if len(rows) <= first + 1:
        return False
    below = rows[first + 1 :]
    for column, cell in enumerate(rows[first]):
        if is_typed(cell) and not is_year(cell):
            others = [row[column] for row in below if column < len(row) and row[column].strip()]
            if others and sum(map(is_typed, others)) > len(others) / 2:
                return True
    return False
