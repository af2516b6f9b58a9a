"""Values of filters, checked against the type of what they are compared with."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.retrieval.filters.filter_schema import ColumnType

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MINUTE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?:Z|[+-]\d{2}:?\d{2})?")
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")


def of_column(key: str, kind: ColumnType, value: object) -> object:
    """The value as its column has it. Raises InvalidArgumentError with an example."""
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgumentError(f"{shown(key)} is a number, not {shown(value)}")
        return float(value)
    if kind == "time":
        return time_of_day(key, value)
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{shown(key)} is a text, not {shown(value)}")
    return value


def time_of_day(key: str, value: object) -> time:
    """``"17:00"`` or ``"17:00:30"``."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return time.fromisoformat(value.zfill(5) if len(value) < 6 else value.zfill(8))
        except ValueError:
            pass  # the message below fits
    raise InvalidArgumentError(f"{shown(key)} is a time such as '17:00', not {shown(value)}")


def moment_range(key: str, value: object) -> tuple[datetime, datetime]:
    """The span [start, end) that a moment names: a whole day, a minute, or an instant.

    Without an offset both are naive and mean the wall clock of the place.
    """
    if isinstance(value, datetime):
        return value, value + timedelta(microseconds=1)
    if isinstance(value, str):
        try:
            if _DATE.fullmatch(value):
                day = datetime.combine(date.fromisoformat(value), time())
                return day, day + timedelta(days=1)
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC)
            length = timedelta(minutes=1) if _MINUTE.fullmatch(value) else timedelta(seconds=1)
            return moment, moment + length
        except (ValueError, OverflowError):
            pass  # the message below fits
    raise InvalidArgumentError(
        f"{shown(key)} is a date or time such as '2024-05-01' or '2024-05-01T17:00', "
        f"not {shown(value)}"
    )


def check_metadata_type(key: str, types: frozenset[str], value: object) -> None:
    """Refuse a value whose type the key never has: it would silently match nothing."""
    for each in value if isinstance(value, list | tuple) else [value]:
        kind = _json_type(each)
        if kind not in types and "array" not in types:
            raise InvalidArgumentError(
                f"{shown(key)} holds {' or '.join(sorted(types))} values, and {shown(each)} is a "
                f"{kind}"
            )


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"
