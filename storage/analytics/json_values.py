"""Values of Postgres as JSON that a model can read: typed, and no longer than they need be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from pgvector import HalfVector, Vector
from pydantic import JsonValue

_TEXT_CHARS = 2_000
_ITEMS = 100
_NUMBERS = 6
_BYTES = 16


def as_json(value: object) -> JsonValue:
    """The value; texts, lists, bytes and vectors past a length are cut and say how long they are.

    Times are ISO 8601; NaN and infinities, which JSON lacks, are strings.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return as_json(float(value))
        case str():
            return _shortened(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case HalfVector() | Vector():
            return _vector(value)
        case bytes() | memoryview():
            shown = bytes(value[:_BYTES]).hex()
            return f"\\x{shown}" + (f"… ({len(value):,} bytes)" if len(value) > _BYTES else "")
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case list() | tuple():
            items = [as_json(each) for each in value[:_ITEMS]]
            more = len(value) - _ITEMS
            return [*items, f"… {more:,} more"] if more > 0 else items
    return _shortened(str(value))


def _shortened(text: str) -> str:
    if len(text) <= _TEXT_CHARS:
        return text
    return f"{text[:_TEXT_CHARS]}… ({len(text):,} characters)"


def _vector(vector: HalfVector | Vector) -> str:
    numbers = vector.to_list()
    first = ", ".join(f"{number:.4f}" for number in numbers[:_NUMBERS])
    more = len(numbers) - _NUMBERS
    return f"[{first}, … {more:,} more numbers]" if more > 0 else f"[{first}]"
