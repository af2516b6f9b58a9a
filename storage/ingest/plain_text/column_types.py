"""Find the type of each column of a caption table, and convert its cells.

A cell of a CSV file is text. A filter such as ``{"price": {"lte": 5}}`` needs numbers, so a column
whose cells all read as numbers, booleans or dates gets that type. All other columns are text: what
could be an identifier (``007``, ``+49``, 16 digits) must keep its characters.

``1.299`` and ``1,299`` have two readings. The other cells of the column decide, then the other
columns of the table; a column that could be both stays text if it has commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

CellReading = Literal["point", "comma", "boolean", "date", "day_first", "month_first", "moment"]
"""How a cell can be read: a number with that decimal sign, a boolean, a date (``day_first`` and
``month_first`` are ``5/3/2024``), or a ``moment``, which is a date-time with an offset."""
CellValue = str | int | float | bool

_MAX_DIGITS = 15  # a double keeps them all
_GROUP_DIGITS = 3
_MAX_CHARS = 40  # of a cell that is not text
_PLAIN = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|-?\.[0-9]+|-?[0-9](?:\.[0-9]+)?[eE][+-][0-9]{2}"
)
_CURRENCY = r"[€$£¥₹₽₩₺₴₫฿₪]|(?:EUR|USD|GBP|CHF|JPY|CNY|RMB|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD)\b"
_NUMBER = re.compile(
    rf"(?P<sign>[-\u2212]?)(?P<before>{_CURRENCY})?[ \u00a0\u202f]?"
    r"(?P<whole>0|[1-9][0-9]*|[1-9][0-9]{0,2}(?P<group>[.,'’\u00a0\u202f ])[0-9]{3}"
    r"(?:(?P=group)[0-9]{3})*)"
    r"(?:(?P<decimal>[.,])(?P<fraction>[0-9]+))?"
    rf"(?:[ \u00a0\u202f]?(?P<after>%|\b(?:{_CURRENCY})|[€$£¥₹₽₩₺₴₫฿₪]|z[łl]|kr))?"
)
_YES = ("true", "yes", "ja", "wahr", "oui", "vrai", "sí", "verdadero", "да", "是")
_NO = ("false", "no", "nein", "falsch", "non", "faux", "falso", "нет", "否")
_BOOLEANS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DOTTED_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_SLASHED_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_TEXT: frozenset[CellReading] = frozenset()
_POINT: frozenset[CellReading] = frozenset({"point"})
_COMMA: frozenset[CellReading] = frozenset({"comma"})
_EITHER = _POINT | _COMMA
_BOOLEAN: frozenset[CellReading] = frozenset({"boolean"})
_ONE_DATE: frozenset[CellReading] = frozenset({"date"})
_MOMENT: frozenset[CellReading] = frozenset({"moment"})


class ColumnTypes:
    """The types of the columns of a table, found row by row."""

    def __init__(self, columns: Sequence[str], text_columns: Iterable[str]) -> None:
        """Create it for column names; ``text_columns`` stay text."""
        excluded = frozenset(text_columns)
        self._columns = columns
        self._readings: dict[int, frozenset[CellReading]] = {}
        self._units: dict[int, set[str]] = {}
        self._with_commas: set[int] = set()
        self._decimal_columns = {_POINT: 0, _COMMA: 0}
        # Columns in order; those that became text are removed when they are half of all.
        self._open = [number for number, name in enumerate(columns) if name not in excluded]
        self._closed = 0

    def add(self, row: Sequence[str]) -> None:
        """Take a row into account; columns that differ from it become text."""
        for number in self._open:
            if number >= len(row):  # a row can be far shorter than the header
                break
            if self._readings.get(number) == _TEXT or not (cell := row[number].strip()):
                continue
            found = _readings_of(cell)
            left = self._readings.get(number, found) & found
            if found & _EITHER:
                self._units.setdefault(number, set()).add(_unit_of(cell))
                if not _is_one_unit(self._units[number]):
                    left = _TEXT
                elif "," in cell:
                    self._with_commas.add(number)
            self._set_readings(number, left)
        if 2 * self._closed > len(self._open):
            self._open = [each for each in self._open if self._readings.get(each) != _TEXT]
            self._closed = 0

    def convert(self, row: Sequence[str]) -> dict[str, CellValue]:
        """Return the values of a row by column; empty cells are absent."""
        values: dict[str, CellValue] = {}
        for number, (name, cell) in enumerate(zip(self._columns, row, strict=False)):
            if stripped := cell.strip():
                reading = self._reading(number)
                values[name] = cell if reading is None else _convert(stripped, reading)
        return values

    def _set_readings(self, number: int, readings: frozenset[CellReading]) -> None:
        before = self._readings.get(number)
        for each, change in ((before, -1), (readings, 1)):
            if each in self._decimal_columns:
                self._decimal_columns[each] += change
        self._readings[number] = readings
        self._closed += readings == _TEXT

    def _reading(self, number: int) -> CellReading | None:
        """Return how a column is read, None for text."""
        readings = self._readings.get(number, _TEXT)
        if len(readings) == 1:
            return next(iter(readings))
        if readings == _EITHER:
            points, commas = self._decimal_columns[_POINT], self._decimal_columns[_COMMA]
            if bool(points) != bool(commas):
                return "point" if points else "comma"
            return None if number in self._with_commas else "point"
        return None


def is_typed(cell: str) -> bool:
    """Return whether a cell could be a number, a boolean or a date."""
    return bool(_readings_of(cell.strip()))


def is_year(cell: str) -> bool:
    """Return whether a cell is a year, as many headers have."""
    return _YEAR.fullmatch(cell.strip()) is not None


def _readings_of(cell: str) -> frozenset[CellReading]:
    if not cell or len(cell) > _MAX_CHARS:
        return _TEXT
    if _PLAIN.fullmatch(cell) or _NUMBER.fullmatch(cell):
        return _number_readings(cell)
    if cell.lower() in _BOOLEANS:
        return _BOOLEAN
    try:
        if _DATE.fullmatch(cell):
            date.fromisoformat(cell)
            return _ONE_DATE
        if match := _TIME.fullmatch(cell):
            moment = datetime.fromisoformat(cell)
            if match[1] is None:
                return _ONE_DATE
            moment.astimezone(UTC)
            return _MOMENT
        if match := _DOTTED_DATE.fullmatch(cell):
            _day_first(match)
            return _ONE_DATE
    except (ValueError, OverflowError):
        return _TEXT  # no such day, or a year that UTC does not have
    if match := _SLASHED_DATE.fullmatch(cell):
        readings: set[CellReading] = set()
        if _exists(match[3], match[2], match[1]):
            readings.add("day_first")
        if _exists(match[3], match[1], match[2]):
            readings.add("month_first")
        return frozenset(readings)
    return _TEXT


def _number_readings(cell: str) -> frozenset[CellReading]:
    if sum(map(str.isdigit, cell)) > _MAX_DIGITS:
        return _TEXT
    match = _NUMBER.fullmatch(cell)
    if match is None:  # such as .5 and 1.5e-03
        return _POINT
    group, decimal = match["group"], match["decimal"]
    if group is not None and group not in ".,":
        # A space between digits also separates parts of telephone numbers.
        if group == " " and decimal is None and not _unit_of(cell):
            return _TEXT
        return _EITHER if decimal is None else _POINT if decimal == "." else _COMMA
    if decimal is None:
        return _EITHER if group is None else _COMMA if group == "." else _POINT
    if group is not None:
        return _TEXT if group == decimal else _POINT if decimal == "." else _COMMA
    if len(match["fraction"]) == _GROUP_DIGITS and len(match["whole"]) <= _GROUP_DIGITS:
        return _EITHER if match["whole"] != "0" else _POINT if decimal == "." else _COMMA
    return _POINT if decimal == "." else _COMMA


def _unit_of(cell: str) -> str:
    match = _NUMBER.fullmatch(cell)
    return (match["before"] or match["after"] or "") if match else ""


def _is_one_unit(units: set[str]) -> bool:
    """Return whether these units compare; a number without one has the currency."""
    named = units - {""}
    return len(named) <= 1 and (named != {"%"} or "" not in units)


def _day_first(match: re.Match[str]) -> date:
    return date(int(match[3]), int(match[2]), int(match[1]))


def _month_first(match: re.Match[str]) -> date:
    return date(int(match[3]), int(match[1]), int(match[2]))


def _exists(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _convert(cell: str, reading: CellReading) -> CellValue:
    """Return the value of a cell without spaces around it."""
    match reading:
        case "point" | "comma":
            return _number(cell, "." if reading == "point" else ",")
        case "boolean":
            return _BOOLEANS[cell.lower()]
        case "day_first" | "month_first":
            if found := _SLASHED_DATE.fullmatch(cell):
                day = _day_first(found) if reading == "day_first" else _month_first(found)
                return day.isoformat()
            return cell
        case "date":
            if found := _DOTTED_DATE.fullmatch(cell):
                return _day_first(found).isoformat()
            return cell if _DATE.fullmatch(cell) else _iso_format(datetime.fromisoformat(cell))
        case "moment":
            # In one offset, because filters compare the characters.
            return _iso_format(datetime.fromisoformat(cell).astimezone(UTC))[:-6] + "Z"


def _number(cell: str, decimal: str) -> int | float:
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return float(cell)
    number = cell[match.start("whole") : match.end("fraction" if match["fraction"] else "whole")]
    digits = "".join(each for each in number if each.isdigit() or each == decimal)
    sign = "-" if match["sign"] else ""
    value = sign + digits.replace(",", ".")
    return float(value) if "." in value else int(value)


def _iso_format(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds" if moment.microsecond == 0 else "microseconds")
