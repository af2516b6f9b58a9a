"""Ways to word a query: misspelled, dates in several notations, parts of words."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from datetime import date
from random import Random

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"(\d{1,4})[-/. ]([a-z]{3}|\d{1,2})[a-z]*[-/. ](\d{2,4})", re.IGNORECASE)
_WORD = re.compile(r"\w+")
#: Edits in shorter words could make other words of them.
_LONG_WORD = re.compile(r"[^\W\d_]{5,}")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [each.casefold() for each in _WORD.findall(text)]


def letters(text: str) -> str:
    """Return only the letters and digits of a text, in lower case."""
    return "".join(words(text))


def misspell(text: str, rng: Random) -> str | None:
    """Return the text with a random edit in each of one or two long words, None without any."""
    long = list(_LONG_WORD.finditer(text))
    if not long:
        return None
    # From the end, so that the places of the others stay.
    for word in sorted(rng.sample(long, rng.randint(1, min(2, len(long)))), key=re.Match.start)[
        ::-1
    ]:
        text = text[: word.start()] + _edit(word[0], rng) + text[word.end() :]
    return text


def _edit(word: str, rng: Random) -> str:
    """Swap, drop, insert or replace a letter."""
    at = rng.randrange(len(word) - 1)
    pair, letter = word[at : at + 2], rng.choice(string.ascii_lowercase)
    if pair[0].isupper():
        letter = letter.upper()
    edits = {pair[::-1], pair[1], letter + pair, letter + pair[1]} - {pair}
    return word[:at] + rng.choice(sorted(edits)) + word[at + 2 :]


def parse_date(text: str) -> date | None:
    """Return the date of a text that has the year first or last, and else the day first."""
    match = _DATE.search(text)
    if match is None:
        return None
    first, month, last = match.groups()
    day, year = (last, first) if len(first) == 4 else (first, last)
    number = int(month) if month.isdigit() else _month(month)
    return date(int(year) + (2000 if len(year) == 2 else 0), number, int(day))


def _month(name: str) -> int:
    return [each[:3].casefold() for each in _MONTHS].index(name.casefold()) + 1


def date_in_words(day: date, rng: Random) -> str:
    """Return the date in one of the usual English wordings."""
    month = _MONTHS[day.month - 1]
    ending = (
        "th" if day.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    )
    forms = (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day} {month[:3]} {day.year}",
        f"{month[:3]} {day.day} {day.year}",
        f"{day.day}{ending} of {month} {day.year}",
        f"{month} {day.day}{ending}, {day.year}",
    )
    return rng.choice(forms)


def fill(templates: Sequence[str], rng: Random, **values: str) -> str:
    """Return a random template with its values."""
    return rng.choice(templates).format(**values)
