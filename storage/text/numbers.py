"""Reads numbers in the common notations, such as ``1.234,50``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

MAX_DIGITS = 40
_SEPARATED = re.compile(r"\d+(?:[.,'’]\d+)*")
_SEPARATOR = re.compile(r"[.,'’]")
# Only groups of three digits behind a space: 12 345,60. Part numbers are "4500 128 78".
_SPACED = re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?:[.,]\d{1,2})?(?![\w]|[.,]\d)")
_MAX_SPACED = 2_000


class SpacedNumber(NamedTuple):
    """A number with spaces between groups of digits: text[start:end]."""

    start: int
    end: int
    value: str


def read_number(run: str) -> tuple[str, ...]:
    """Return the values of a number, the likelier first; nothing if it is none.

    A value is written with a decimal point, without separators of groups and without zeros at the
    beginning. ``1.234`` has two values: 1.234 and 1234.

    >>> read_number("1.234,50"), read_number("1,234"), read_number("10.20.30.40")
    (('1234.50',), ('1234', '1.234'), ())
    """
    if len(run) > MAX_DIGITS or not _SEPARATED.fullmatch(run):
        return ()
    separators = _SEPARATOR.findall(run)
    groups = _SEPARATOR.split(run)
    if not separators:
        return (_plain(run),)
    last = separators[-1]
    grouped = _is_grouped(groups)
    if len(separators) == 1:
        decimal = _plain(f"{groups[0]}.{groups[1]}")
        if last in "'’":
            return (_plain("".join(groups)),) if grouped else ()
        if not grouped:
            return (decimal,)
        whole = _plain("".join(groups))
        return (whole, decimal) if last == "," else (decimal, whole)
    if len(set(separators)) == 1:
        return (_plain("".join(groups)),) if grouped else ()
    is_decimal = last in ".," and last not in separators[:-1] and len(set(separators)) == 2
    if is_decimal and _is_grouped(groups[:-1]):
        return (_plain("".join(groups[:-1]) + "." + groups[-1]),)
    return ()


def shorten(value: str) -> str:
    """Remove the zeros at the end of decimals: 18.00 is 18, 1234.50 is 1234.5."""
    return value.rstrip("0").rstrip(".") if "." in value else value


def is_number(run: str) -> bool:
    return bool(read_number(run))


def is_serial_number(run: str) -> bool:
    """Return whether a number begins with a zero that no amount has: 00871, not 0.5."""
    return len(run) > 1 and run.isdigit() and run.startswith("0")


def find_spaced_numbers(text: str) -> Iterator[SpacedNumber]:
    """Yield the numbers with spaces between groups, such as ``12 345,60``."""
    for match in islice(_SPACED.finditer(text), _MAX_SPACED):
        values = read_number(match.group().replace(" ", "").replace(",", "."))
        if values:
            yield SpacedNumber(match.start(), match.end(), values[0])


def _is_grouped(groups: list[str]) -> bool:
    """Return whether groups of digits are thousands, or lakh as in 1,23,456."""
    first, *rest = groups
    if not 1 <= len(first) <= 3 or first.startswith("0") or not rest or len(rest[-1]) != 3:
        return False
    sizes = {len(group) for group in rest[:-1]}
    return sizes <= {3} or (sizes == {2} and len(first) <= 2)


def _plain(number: str) -> str:
    whole, point, decimals = number.partition(".")
    return (whole.lstrip("0") or "0") + point + decimals
