"""Finds dates in text and returns search terms for any notation of them.

``6 February 2018``, ``06/02/2018``, ``2018-02-06`` and ``2018年2月6日`` share the term
``date:2018-02-06``. ``06/02/2018`` may also mean June 2; both readings get terms that state the
order of day and month, and unambiguous dates are evidence of the order that a collection uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal

from sightline.storage.text.normalization import fold_accents
from sightline.storage.text.word_forms import data_rows

DayOrder = Literal["dmy", "mdy"]
"""Day before month, or month before day."""

ORDER_TERMS: dict[DayOrder, str] = {"dmy": "order:dmy", "mdy": "order:mdy"}
"""Terms of texts with a date that can only be read in this order, such as 25/12/2018."""
_MAX_DATES = 2_000
_MAX_DAYS = 31
_CENTURY_PIVOT = 70  # 69 is 2069, 70 is 1970

# OCR often joins the time to the date: 18/03/201823:02, 18/03/1823:02.
_END = r"(?:(?=\d\d?:\d\d)|(?![\d-]|[./]\d))"
_ISO = re.compile(
    rf"(?<![\w.])(?P<year>[12]\d{{3}})(?P<joint>[-/.])(?P<month>\d\d?)(?P=joint)(?P<day>\d\d?){_END}"
)
_NUMERIC = re.compile(
    r"(?<![\w.])(?P<one>\d\d?)(?P<joint>[-/]|\. ?)(?P<two>\d\d?)(?P=joint)"
    rf"(?P<year>(?:19|20)\d\d|[12]\d{{3}}(?!:\d\d)|(?<=\d\d[-/.]\d\d[-/.])\d\d|(?<=/)\d\d){_END}"
)
_DIGITS = "〇零一二三四五六七八九十"
_EAST_ASIAN = re.compile(
    rf"(?P<year>(?<!\d)\d{{4}}|[{_DIGITS}]{{4}}) ?[年년] ?(?P<month>\d\d?|[{_DIGITS}]{{1,2}})"
    rf" ?[月월](?: ?(?P<day>\d\d?|[{_DIGITS}]{{1,3}}) ?[日號号일])?"
)
_WORD = re.compile(r"(?<![^\W\d_])[^\W\d_]{3,20}(?![^\W\d_])")
# Around the name of a month: a day on either side, and a year behind.
_DAY_BEFORE = re.compile(
    r"(?<![\w.,/-])(\d\d?)(?:st|nd|rd|th|er|re|[.ºª])?(?:[ -]{0,2}|/)(?:(?:of|de|d') ?)?$"
)
_MAX_DAY_CHARS = 12
_ENGLISH_ABBREVIATIONS = frozenset(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)
#: They need a day and a year.
_AMBIGUOUS_NAMES = frozenset(("mars", "mart", "mayo"))
_JOINTS = ("-", "_", "/")
_PART_BEHIND = re.compile(r"[-_][^\W\d_]")
_AFTER = re.compile(
    r"\.?(?:[ -]{0,2}(?P<day>\d\d?)(?:st|nd|rd|th|er)?(?![\d:%]|[.,]\d))?"
    r"(?:(?:,? |[-/]|, ?)(?:(?:of|de|del|del año) )?"
    r"'?(?P<year>[12]\d{3}(?=\d\d?:\d\d)|(?:[12]\d{3}|(?<=[-/'])\d\d)(?!\d|[.,:]\d)))?"
)
_HAS_DATE = re.compile(rf"\d|[{_DIGITS}][年月]")


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning of a date; None for a part that it does not state.

    ``order`` is the order of day and month on which the reading depends, None if it is certain.
    """

    year: int | None
    month: int
    day: int | None
    order: DayOrder | None = None

    @property
    def date(self) -> str:
        """``2018-02-06``, ``2018-02`` without day, ``-02-06`` without year."""
        year = "" if self.year is None else f"{self.year:04}"
        return f"{year}-{self.month:02}" + ("" if self.day is None else f"-{self.day:02}")


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date at ``start`` to ``end`` of the text, with one or two readings.

    ``evidence`` is the order that the date proves.
    """

    start: int
    end: int
    readings: tuple[Reading, ...]
    evidence: DayOrder | None = None


def find_dates(text: str) -> list[FoundDate]:
    """Return the dates of a normalized text, in order and without overlaps."""
    if not _HAS_DATE.search(text):
        return []
    found: list[FoundDate] = []
    end = 0
    candidates = sorted(islice(_candidates(text), _MAX_DATES), key=lambda date: date.start)
    for date in candidates:
        if date.start >= end:
            found.append(date)
            end = date.end
    return found


def index_terms(date: FoundDate) -> tuple[str, ...]:
    """Return the terms of a date in a text: the date, its month, and day and month."""
    terms: list[str] = []
    for reading in date.readings:
        prefix = reading.order or "date"
        terms.append(f"{prefix}:{reading.date}")
        if reading.year is not None and reading.day is not None:
            month = Reading(reading.year, reading.month, None)
            anniversary = Reading(None, reading.month, reading.day)
            terms += (f"{prefix}:{month.date}", f"{prefix}:{anniversary.date}")
    if date.evidence is not None:
        terms.append(ORDER_TERMS[date.evidence])
    return tuple(terms)


def query_terms(date: FoundDate) -> dict[str, DayOrder | None]:
    """Return the terms to search for a date, each with the order that it assumes."""
    terms: dict[str, DayOrder | None] = {}
    for reading in date.readings:
        terms[f"date:{reading.date}"] = reading.order
        for order in (reading.order,) if reading.order else ORDER_TERMS:
            terms[f"{order}:{reading.date}"] = order
    return terms


def _candidates(text: str) -> Iterator[FoundDate]:
    for match in _ISO.finditer(text):
        yield from _found(match, [_reading(match["year"], match["month"], match["day"])])
    for match in _EAST_ASIAN.finditer(text):
        parts = [_number(match[name]) for name in ("year", "month", "day")]
        yield from _found(match, [_reading(*parts)])
    for match in _NUMERIC.finditer(text):
        yield from _numeric(match)
    for match in _WORD.finditer(text):
        if (month := month_names().get(fold_accents(match.group()))) is not None:
            yield from _named(text, match, month)


def _named(text: str, name: re.Match[str], month: int) -> Iterator[FoundDate]:
    before = _DAY_BEFORE.search(text, max(0, name.start() - _MAX_DAY_CHARS), name.start())
    after = _AFTER.match(text, name.end())
    second, year = (after["day"], after["year"]) if after else (None, None)
    first = before[1] if before else None
    end = after.end() if after else name.end()
    if first and second:
        if year is None and len(second) == 2:  # 28-Sep-18
            year = second
        elif year is None:
            end = name.end()
    day = first or second
    reading = _reading(year, month, day)
    start = before.start() if before else name.start()
    is_enough = (day and year) if _is_ambiguous(name.group()) else (day or year)
    if reading is not None and is_enough and not _is_inside_name(text, start, end):
        yield FoundDate(start, end, (reading,))


def _is_ambiguous(name: str) -> bool:
    """Return whether the name of a month is often another word: pro, set, mart."""
    is_short = len(name) == 3 and name.isascii() and name not in _ENGLISH_ABBREVIATIONS
    return is_short or name in _AMBIGUOUS_NAMES


def _is_inside_name(text: str, start: int, end: int) -> bool:
    """Return whether a date is a part of a longer name, such as SKU-MAR-12."""
    return text[start - 1 : start] in _JOINTS or _PART_BEHIND.match(text, end) is not None


def _numeric(match: re.Match[str]) -> Iterator[FoundDate]:
    one, two, year, joint = match["one"], match["two"], match["year"], match["joint"]
    if match.start() and match.string[match.start() - 1] == joint:
        return  # a longer row of numbers
    day_first, month_first = _reading(year, two, one), _reading(year, one, two)
    if joint.startswith(".") or day_first == month_first:
        yield from _found(match, [day_first or month_first])
    elif day_first is None or month_first is None:
        evidence: DayOrder = "mdy" if day_first is None else "dmy"
        yield from _found(match, [day_first or month_first], evidence)
    else:
        readings = [
            Reading(day_first.year, day_first.month, day_first.day, "dmy"),
            Reading(month_first.year, month_first.month, month_first.day, "mdy"),
        ]
        yield FoundDate(match.start(), match.end(), tuple(readings))


def _found(
    match: re.Match[str], readings: list[Reading | None], evidence: DayOrder | None = None
) -> Iterator[FoundDate]:
    valid = tuple(reading for reading in readings if reading is not None)
    if valid:
        yield FoundDate(match.start(), match.end(), valid, evidence)


def _reading(
    year: str | int | None, month: str | int | None, day: str | int | None
) -> Reading | None:
    """Return a valid date, or None."""
    number = None if year is None else int(year)
    if number is not None and isinstance(year, str) and len(year) == 2:
        number += 2000 if number < _CENTURY_PIVOT else 1900
    month, day = int(month or 0), None if day is None else int(day)
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= _MAX_DAYS):
        return None
    return Reading(number, month, day)


def _number(text: str | None) -> int | None:
    """Return the value of digits, Chinese digits ("二〇二四") or a Chinese number ("十二")."""
    if text is None:
        return None
    if text[0] not in _DIGITS:
        return int(text)
    digits = [max(_DIGITS.index(char) - 1, 0) for char in text]
    if "十" not in text:
        return int("".join(map(str, digits)))
    tens, _, ones = text.partition("十")
    return 10 * (digits[0] if tens else 1) + (digits[-1] if ones else 0)


@cache
def month_names() -> dict[str, int]:
    """Return the number of a month by its folded name in some twenty languages."""
    rows = data_rows("month_names.txt")
    return {name: int(number) for number, *names in rows for name in names}
