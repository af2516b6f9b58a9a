"""Find the type of each column of a caption table, and convert its cells.

A cell of a CSV file is text. A filter such as ``{"price": {"lte": 5}}`` needs numbers, so a column
whose cells all read as numbers, booleans or ISO dates gets that type. All other columns are text:
what could be an identifier (``007``, ``+49``, 16 digits) must keep its characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

ColumnType = Literal["number", "boolean", "date", "moment", "text"]
"""The type of all cells; a ``moment`` is a date-time with an offset."""
CellValue = str | int | float | bool

_MAX_DIGITS = 15  # a double keeps them all
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|-?\.[0-9]+|-?[0-9](?:\.[0-9]+)?[eE][+-][0-9]{2}"
)
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_MAX_CHARS = 40  # of a cell that is not text


class ColumnTypes:
    """The types of the columns of a table, found row by row."""

    def __init__(self, columns: Sequence[str], text_columns: Iterable[str]) -> None:
        """Create it for column names; ``text_columns`` stay text."""
        excluded = frozenset(text_columns)
        self._columns = columns
        self._types: dict[int, ColumnType] = {}
        # Columns in order; those that became text are removed when they are half of all.
        self._open = [number for number, name in enumerate(columns) if name not in excluded]
        self._closed = 0

    def add(self, row: Sequence[str]) -> None:
        """Take a row into account; columns that differ from it become text."""
        types = self._types
        for number in self._open:
            if number >= len(row):  # a row can be far shorter than the header
                break
            if types.get(number) != "text" and (cell := row[number].strip()):
                found = _type_of(cell)
                if found == "text" or types.setdefault(number, found) != found:
                    types[number] = "text"
                    self._closed += 1
        if 2 * self._closed > len(self._open):
            self._open = [each for each in self._open if types.get(each) != "text"]
            self._closed = 0

    def convert(self, row: Sequence[str]) -> dict[str, CellValue]:
        """Return the values of a row by column; empty cells are absent."""
        values: dict[str, CellValue] = {}
        for number, (name, cell) in enumerate(zip(self._columns, row, strict=False)):
            if stripped := cell.strip():
                type_ = self._types.get(number, "text")
                values[name] = cell if type_ == "text" else _convert(stripped, type_)
        return values


def _type_of(cell: str) -> ColumnType:
    if len(cell) > _MAX_CHARS:
        return "text"
    if _NUMBER.fullmatch(cell):
        return "number" if sum(map(str.isdigit, cell)) <= _MAX_DIGITS else "text"
    if cell.lower() in _BOOLEANS:
        return "boolean"
    try:
        if _DATE.fullmatch(cell):
            date.fromisoformat(cell)
            return "date"
        if match := _TIME.fullmatch(cell):
            moment = datetime.fromisoformat(cell)
            if match[1] is None:
                return "date"
            moment.astimezone(UTC)
            return "moment"
    except (ValueError, OverflowError):
        pass  # no such day, or a year that UTC does not have
    return "text"


def _convert(cell: str, type_: ColumnType) -> CellValue:
    """Return the value of a cell without spaces around it."""
    match type_:
        case "number":
            return int(cell) if cell.lstrip("-").isdigit() else float(cell)
        case "boolean":
            return _BOOLEANS[cell.lower()]
        case "date":
            return cell if _DATE.fullmatch(cell) else _iso_format(datetime.fromisoformat(cell))
        case "moment":
            # In one offset, because filters compare the characters.
            return _iso_format(datetime.fromisoformat(cell).astimezone(UTC))[:-6] + "Z"
        case "text":
            return cell


def _iso_format(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds" if moment.microsecond == 0 else "microseconds")
