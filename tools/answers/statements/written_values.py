"""Read numbers, times, dates, money and units of a text in one notation.

The forms of numbers and dates are those of search: `storage.text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from sightline.storage.text.dates import find_dates
from sightline.storage.text.normalization import normalize
from sightline.storage.text.numbers import read_number, shorten

_MAX_CHARS: Final = 4_000
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:[.,'’]\d+)*|(?<=[a-z$€£¥])\d+(?:[.,'’]\d+)*")
_TIME: Final = re.compile(
    r"(?<![\d:])([01]?\d|2[0-4])[:：h]([0-5]\d)(?::[0-5]\d)?(?!\d)\s*([ap])?\.?m?\b"
)
_HOUR: Final = re.compile(r"(?<![\d:])(\d\d?)\s*(?:([ap])\.?m\b|o'?clock\b|点(?![\d半]))")
_CHINESE_TIME: Final = re.compile(r"(?<!\d)(\d\d?)\s*[点時时]\s*(?:(\d\d?)\s*分?|(半))")
_ISO_LIKE: Final = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_MONEY: Final = re.compile(
    r"(?P<sign>[$€£¥₹]|\b(?:usd|eur|gbp|cny|rmb|myr|rm|sek|chf)\b)\s?(?P<after>\d+(?:[.,'’]\d+)*)"
    r"|(?P<before>\d+(?:[.,'’]\d+)*)\s?(?P<sign_behind>[$€£¥₹元]|(?:usd|eur|gbp|cny|rmb|kr|sek|chf)\b)"
)
_ENGLISH_NUMERALS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_NUMERALS: Final = {word: number for number, word in enumerate(_ENGLISH_NUMERALS)} | {
    "no": 0,
    "none": 0,
    "a": 1,
    "an": 1,
    "a single": 1,
    "single": 1,
    "both": 2,
    "a dozen": 12,
    "零": 0,
    "没有": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
    "十": 10,
    "十一": 11,
    "十二": 12,
}
_NUMERAL: Final = re.compile(
    r"(?<![\d.,:])\d+(?![\d.,:]*\d)|\b(?:"
    + "|".join(
        sorted((n for n in _NUMERALS if n.isascii() and n not in ("a", "an")), key=len)[::-1]
    )
    + r")\b|没有|十[一二]?|[零一二两三四五六七八九]",
    re.IGNORECASE,
)


def read_count(text: str) -> int | None:
    """Return the only whole number of a short text, in digits or words.

    >>> read_count("three vans"), read_count("两辆"), read_count("1 or 2")
    (3, 2, None)
    """
    found = [match.group().lower() for match in _NUMERAL.finditer(text)]
    values = {int(each) if each.isdigit() else _NUMERALS[each] for each in found}
    return values.pop() if len(values) == 1 else None


def find_numbers(text: str) -> list[tuple[str, ...]]:
    """Return the values of each number of a text, the likelier first."""
    found = [read_number(match.group()) for match in _NUMBER.finditer(_normal(text))]
    return [tuple(shorten(value) for value in values) for values in found if values]


def read_amount(text: str) -> float | None:
    """Return the first number of a text, None without one."""
    numbers = find_numbers(text)
    return float(numbers[0][0]) if numbers else None


def find_money(text: str) -> list[str]:
    """Return the amounts with a currency, without zeros at the end of decimals."""
    found = []
    for match in _MONEY.finditer(_normal(text)):
        values = read_number(match["after"] or match["before"])
        found += [shorten(values[0])] if values else []
    return found


def find_times(text: str) -> set[str]:
    """Return the times of day as ``HH:MM``; one without am or pm is as it is written."""
    flat = _normal(text)
    found = set()
    for match in _TIME.finditer(flat):
        found.add(_clock(int(match[1]), int(match[2]), match[3]))
    for match in _CHINESE_TIME.finditer(flat):
        found.add(_clock(int(match[1]), 30 if match[3] else int(match[2]), None))
    for match in _HOUR.finditer(flat):
        found.add(_clock(int(match[1]), 0, match[2]))
    return found


def find_date_values(text: str) -> set[str]:
    """Return all meanings of the complete dates of a text as ISO 8601."""
    return {
        reading.date
        for found in find_dates(_normal(text))
        for reading in found.readings
        if reading.year is not None and reading.day is not None
    }


def impossible_dates(text: str) -> list[str]:
    """Return dates in the order of ISO 8601 that do not exist, such as 2026-01-55."""
    return [match.group() for match in _ISO_LIKE.finditer(text) if not _exists(match)]


def same_values(claimed: str, written: str) -> bool:
    """Return whether a text has all dates, times and numbers of a claim.

    False if the claim has none.
    """
    dates, times = find_date_values(claimed), find_times(claimed)
    if dates:
        return bool(dates & find_date_values(written))
    if times:
        return bool(times & find_times(written))
    wanted = find_numbers(claimed)
    known = {value for values in find_numbers(written) for value in values}
    return bool(wanted) and all(known & set(values) for values in wanted)


def has_values(text: str) -> bool:
    """Return whether a text has numbers, dates or times."""
    return bool(find_numbers(text) or find_date_values(text) or find_times(text))


def _clock(hour: int, minute: int, half: str | None) -> str:
    if half == "p" and hour < 12:
        hour += 12
    if half == "a" and hour == 12:
        hour = 0
    return f"{hour % 24:02}:{minute:02}"


def _exists(match: re.Match[str]) -> bool:
    try:
        date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return False
    return True


def _normal(text: str) -> str:
    return normalize(text, _MAX_CHARS)


def iter_minutes(times: set[str]) -> Iterator[int]:
    """Yield times as minutes since midnight."""
    for each in times:
        hour, _, minute = each.partition(":")
        yield 60 * int(hour) + int(minute)
