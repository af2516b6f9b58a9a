"""Parse the JSON filter language of the tools into a filter tree.

    {"product": "Garlic"}                         equal
    {"product": ["Garlic", "Onion"]}              one of
    {"price": {"gte": 1, "lte": 5}}               operators; all must match
    {"or": [{...}, {...}]}, {"and": [...]}, {"not": {...}}

All keys of an object must match. ``between`` means ``gte`` and ``lte``; for ``time_of_day`` the
range may pass midnight: ``{"time_of_day": {"between": ["22:00", "06:00"]}}``. A position takes
``{"gps": {"near": [48.86, 2.29], "km": 5}}``: latitude and longitude in degrees, and a distance.
`filter_compiler` compiles the tree to SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown

MAX_DEPTH = 8
MAX_CONDITIONS = 64
MAX_LIST_VALUES = 200
MAX_TEXT_CHARS = 500
MAX_VALUES = 1_000
MAX_FILTER_CHARS = 20_000
"""Keys and texts of a whole filter."""
TIME_OF_DAY = "time_of_day"
POSITION = "gps"
DEFAULT_KILOMETERS = 1.0
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # in Postgres: NUL and lone surrogates

OrderOperator = Literal["gt", "gte", "lt", "lte"]
ListOperator = Literal["in", "nin", "any", "all"]
TextOperator = Literal["text_match", "text_match_insensitive"]
ValueOperator = Literal[
    "eq", "ne", OrderOperator, ListOperator, "contains", TextOperator, "is_empty"
]
Operator = Literal[ValueOperator, "near"]
OPERATORS: tuple[ValueOperator, ...] = get_args(ValueOperator)
"""Of all keys but a position, which takes "near", as (latitude, longitude, kilometers)."""
Combine = Literal["and", "or", "not"]
_COMBINE: Mapping[str, Combine] = {each: each for each in get_args(Combine)}
LIST_OPERATORS: tuple[str, ...] = get_args(ListOperator)
TEXT_OPERATORS: tuple[str, ...] = get_args(TextOperator)
ORDER_OPERATORS: tuple[str, ...] = get_args(OrderOperator)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition on a column or metadata key."""

    key: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """Conditions combined by and, by or, or negated as a whole."""

    parts: tuple[Comparison | FilterGroup, ...]
    combine: Combine = "and"


def parse(filters: Mapping[str, Any] | None) -> FilterGroup | None:
    """Parse a filter; None and ``{}`` mean no filter.

    Raises InvalidArgumentError that states the problem and the valid operators.
    """
    if filters is None or filters == {}:
        return None
    return _Parser().group(filters, depth=1)


class _Parser:
    """Counts conditions, values and characters to limit the whole filter."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0
        self._chars = 0

    def group(self, value: Any, depth: int) -> FilterGroup:
        if not isinstance(value, Mapping) or not value:
            raise InvalidArgumentError(
                f"A filter is an object such as {{'key': 'value'}}, not {shown(value)}."
            )
        if depth > MAX_DEPTH:
            raise InvalidArgumentError(f"Filters nest at most {MAX_DEPTH} deep.")
        parts: list[Comparison | FilterGroup] = []
        for key, operand in value.items():
            if not isinstance(key, str) or not key or len(key) > MAX_TEXT_CHARS:
                raise InvalidArgumentError(f"A filter key is a short text, not {shown(key)}.")
            if _UNSTORABLE.search(key):
                raise InvalidArgumentError(
                    f"The filter key {shown(key)} contains an invalid character."
                )
            combine = _COMBINE.get(key.removeprefix("$"))
            if combine is None:
                parts.extend(self._key(key, operand))
                continue
            filters = [operand] if combine == "not" else operand
            if not isinstance(filters, list) or not filters:
                raise InvalidArgumentError(
                    f"'{combine}' takes a list of filters such as [{{'key': 'value'}}], "
                    f"not {shown(operand)}."
                )
            nested = tuple(self.group(each, depth + 1) for each in filters)
            parts.append(FilterGroup(nested, combine))
        return FilterGroup(tuple(parts))

    def _key(self, key: str, value: Any) -> list[Comparison | FilterGroup]:
        if key == POSITION and not (isinstance(value, Mapping) and value.keys() == {"is_empty"}):
            return [self._near(value)]
        if not isinstance(value, Mapping):
            return [self._comparison(key, "in" if isinstance(value, list) else "eq", value)]
        if not value:
            raise InvalidArgumentError(
                f"The filter on {shown(key)} is empty. Give a value, or an operator with a value "
                "such as {'gte': 1}."
            )
        parts: list[Comparison | FilterGroup] = []
        for operator, operand in value.items():
            name = operator.removeprefix("$") if isinstance(operator, str) else operator
            if name == "between":
                parts.append(self._between(key, operand))
            else:
                parts.append(self._comparison(key, name, operand))
        return parts

    def _comparison(self, key: str, operator: object, value: object) -> Comparison:
        if operator not in OPERATORS:
            nested = shown(f"{key}.{operator}")
            raise UnknownNameError(
                f"operator (in the filter on {shown(key)})",
                operator,
                (*OPERATORS, "between"),
                hint=f"Write a nested key as {nested}.",
            )
        return self._counted(Comparison(key, operator, _validate_value(key, operator, value)))

    def _counted(self, comparison: Comparison) -> Comparison:
        """Return the comparison. Raises InvalidArgumentError if the filter has too many."""
        key = comparison.key
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidArgumentError(
                f"A filter has at most {MAX_CONDITIONS} conditions, and that on {shown(key)} is "
                "one too many."
            )
        values = comparison.value if isinstance(comparison.value, list) else [comparison.value]
        self._values += len(values)
        self._chars += len(key) + sum(len(each) for each in values if isinstance(each, str))
        for what, count, limit in (
            ("values", self._values, MAX_VALUES),
            ("characters", self._chars, MAX_FILTER_CHARS),
        ):
            if count > limit:
                raise InvalidArgumentError(
                    f"A filter has at most {limit:,} {what}, and this one has {count:,} up to the "
                    f"condition on {shown(key)}. Search in several calls."
                )
        return comparison

    def _near(self, value: Any) -> Comparison:
        near = value.get("near", value.get("$near")) if isinstance(value, Mapping) else None
        kilometers = value.get("km", DEFAULT_KILOMETERS) if isinstance(value, Mapping) else None
        numbers = [*near, kilometers] if isinstance(near, list) else []
        if (
            len(numbers) != 3
            or not all(
                isinstance(each, int | float) and not isinstance(each, bool) for each in numbers
            )
            or not value.keys() <= {"near", "$near", "km"}
            or not (-90 <= numbers[0] <= 90 and -180 <= numbers[1] <= 180 and 0 < numbers[2] < 1e5)
        ):
            raise InvalidArgumentError(
                f"'{POSITION}' takes {{'near': [latitude, longitude], 'km': 5}} in degrees and "
                f"kilometers, or {{'is_empty': true}}, not {shown(value)}."
            )
        return self._counted(Comparison(POSITION, "near", [float(each) for each in numbers]))

    def _between(self, key: str, value: Any) -> FilterGroup:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidArgumentError(
                f"'between' on {shown(key)} takes two values such as [1, 5], not {shown(value)}."
            )
        low = self._comparison(key, "gte", value[0])
        high = self._comparison(key, "lte", value[1])
        wraps = key == TIME_OF_DAY and str(low.value).zfill(5) > str(high.value).zfill(5)
        return FilterGroup((low, high), "or" if wraps else "and")


def _validate_value(key: str, operator: Operator, value: object) -> object:
    where = f"'{operator}' on {shown(key)}"
    if operator == "is_empty":
        if not isinstance(value, bool):
            raise InvalidArgumentError(f"{where} takes true or false, not {shown(value)}.")
        return value
    if operator in LIST_OPERATORS:
        if not isinstance(value, list) or not value or len(value) > MAX_LIST_VALUES:
            raise InvalidArgumentError(
                f"{where} takes a list of 1 to {MAX_LIST_VALUES} values, not {shown(value)}."
            )
        return [_validate_scalar(where, each) for each in value]
    if operator in TEXT_OPERATORS and not (isinstance(value, str) and value):
        raise InvalidArgumentError(f"{where} takes a text, not {shown(value)}.")
    if operator in ORDER_OPERATORS and (value is None or isinstance(value, bool)):
        raise InvalidArgumentError(f"{where} takes a number or a text, not {shown(value)}.")
    if value is None and operator not in ("eq", "ne"):
        raise InvalidArgumentError(f"{where} takes a value, not null. See 'is_empty'.")
    return None if value is None else _validate_scalar(where, value)


def _validate_scalar(where: str, value: object) -> str | int | float | bool:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARS:
            raise InvalidArgumentError(
                f"{where} takes a text of at most {MAX_TEXT_CHARS} characters, not {len(value):,}."
            )
        if _UNSTORABLE.search(value):
            raise InvalidArgumentError(f"{where} has an invalid character: {shown(value)}.")
        return value
    if isinstance(value, bool | int):
        if abs(int(value)) >= 10**18:
            raise InvalidArgumentError(f"{where} takes numbers below 10**18, not {shown(value)}.")
        return value
    if isinstance(value, float) and value - value == 0:  # finite
        return value
    raise InvalidArgumentError(f"{where} takes a text, a number or a boolean, not {shown(value)}.")
