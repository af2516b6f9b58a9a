"""Converts Postgres values to JSON of a limited size and depth."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from pgvector import HalfVector, Vector
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow
from pydantic import JsonValue

_MAX_TEXT_CHARS = 2_000
_MAX_LIST_ITEMS = 100
_MAX_VECTOR_NUMBERS = 6
_MAX_BYTES_SHOWN = 16
_MAX_DEPTH = 20
#: The types that Python cannot hold in full: infinity, years BC, 24:00:00, months of an interval.
_TIME_TYPES = ("date", "time", "timetz", "interval", "timestamp", "timestamptz")
_RANGES = ("int4", "int8", "num", "date", "ts", "tstz")
#: A decimal number of this length and its point fits a double.
_EXACT_CHARS = 16
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:([+-]\d\d)(:\d\d(?::\d\d)?)?)?"
)
# A larger document is shown as text: parsing it would keep other calls waiting.
_MAX_JSON_BYTES = 64_000


class _JsonLoader(Loader):
    """Parses json and jsonb; what Python cannot hold or write stays text."""

    def load(self, data: Buffer) -> object:
        text = bytes(data)
        if len(text) <= _MAX_JSON_BYTES:
            try:
                document: object = json.loads(text, parse_float=_parse_float)
                if b"\\u" in text:  # half of a surrogate pair cannot be written
                    json.dumps(document, ensure_ascii=False).encode()
            except (RecursionError, ValueError):  # too deep; too many digits, or such a half
                pass
            else:
                return document
        return text.decode()


def _parse_float(text: str) -> float | str:
    """Return a number in JSON, as text if a double has too few digits for it."""
    number = float(text)
    is_exact = len(text) <= _EXACT_CHARS or (
        math.isfinite(number) and Decimal(repr(number)) == Decimal(text)
    )
    return number if is_exact else text


class _TextLoader(Loader):
    """Returns a value as Postgres writes it."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _TimeLoader(_TextLoader):
    """Returns a time as Postgres writes it, a common timestamp as ISO 8601."""

    def load(self, data: Buffer) -> str:
        text = super().load(data)
        timestamp = _TIMESTAMP.fullmatch(text)
        if timestamp is None:
            return text
        day, time, hours, minutes = timestamp.groups()
        return f"{day}T{time}" + (f"{hours}{minutes or ':00'}" if hours else "")


def register_loaders(connection: AsyncConnection[TupleRow]) -> None:
    """Parse JSON within limits, and read times and ranges as text.

    The session must have the date style ISO.
    """
    for name in ("json", "jsonb"):
        connection.adapters.register_loader(name, _JsonLoader)
    for name in _TIME_TYPES:
        connection.adapters.register_loader(name, _TimeLoader)
    for name in _RANGES:
        connection.adapters.register_loader(f"{name}range", _TextLoader)
        connection.adapters.register_loader(f"{name}multirange", _TextLoader)


def to_json_value(value: object, depth: int = 0) -> JsonValue:
    """Convert a Postgres value to JSON.

    Long texts, lists, objects, bytes and vectors are shortened and state their length. NaN,
    infinities, and numerics with more digits than a double are strings.
    """
    if depth > _MAX_DEPTH:
        return "… nested deeper"
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            number = float(value)
            is_exact = not value.is_finite() or Decimal(repr(number)) == value
            return to_json_value(number) if is_exact else shorten(f"{value:f}")
        case HalfVector() | Vector():
            numbers = value.to_list()
            items = [f"{number:.4f}" for number in numbers[:_MAX_VECTOR_NUMBERS]]
            more = len(numbers) - _MAX_VECTOR_NUMBERS
            items += [f"… {more:,} more numbers"] if more > 0 else []
            return f"[{', '.join(items)}]"
        case bytes() | memoryview():
            start = f"\\x{bytes(value[:_MAX_BYTES_SHOWN]).hex()}"
            return f"{start}… ({len(value):,} bytes)" if len(value) > _MAX_BYTES_SHOWN else start
        case Mapping():
            shown = list(value.items())[:_MAX_LIST_ITEMS]
            more = len(value) - _MAX_LIST_ITEMS
            document = {shorten(str(key)): to_json_value(each, depth + 1) for key, each in shown}
            return document | ({"…": f"{more:,} more"} if more > 0 else {})
        case list() | tuple():
            values = [to_json_value(each, depth + 1) for each in value[:_MAX_LIST_ITEMS]]
            more = len(value) - _MAX_LIST_ITEMS
            return [*values, f"… {more:,} more"] if more > 0 else values
    return shorten(str(value))


def shorten(text: str, max_chars: int = _MAX_TEXT_CHARS) -> str:
    """Return the text, or its beginning and its length."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}… ({len(text):,} characters)"
