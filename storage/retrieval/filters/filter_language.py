"""The JSON filter language of the tools, read into LlamaIndex's ``MetadataFilters``.

    {"product": "Garlic"}                         equal
    {"product": ["Garlic", "Onion"]}              one of
    {"price": {"gte": 1, "lte": 5}}               operators; several mean all of them
    {"or": [{...}, {...}]}, {"and": [...]}, {"not": {...}}

Several keys of one object mean all of them. ``between`` is ``gte`` and ``lte``; on
``time_of_day`` it may wrap midnight: ``{"time_of_day": {"between": ["22:00", "06:00"]}}``.
Nothing here touches SQL: `filter_sql` compiles what this returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown

MAX_DEPTH = 8
MAX_CONDITIONS = 64
MAX_LIST_VALUES = 200
MAX_TEXT_CHARS = 500

TIME_OF_DAY = "time_of_day"

_OPERATORS: Mapping[str, FilterOperator] = {
    "eq": FilterOperator.EQ,
    "ne": FilterOperator.NE,
    "gt": FilterOperator.GT,
    "gte": FilterOperator.GTE,
    "lt": FilterOperator.LT,
    "lte": FilterOperator.LTE,
    "in": FilterOperator.IN,
    "nin": FilterOperator.NIN,
    "any": FilterOperator.ANY,
    "all": FilterOperator.ALL,
    "contains": FilterOperator.CONTAINS,
    "text_match": FilterOperator.TEXT_MATCH,
    "text_match_insensitive": FilterOperator.TEXT_MATCH_INSENSITIVE,
    "is_empty": FilterOperator.IS_EMPTY,
}
OPERATOR_NAMES = (*_OPERATORS, "between")

LIST_OPERATORS = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL)
TEXT_OPERATORS = (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)
ORDER_OPERATORS = (
    FilterOperator.GT,
    FilterOperator.GTE,
    FilterOperator.LT,
    FilterOperator.LTE,
)

_CONDITIONS = ("and", "or", "not")


def parse(filters: Mapping[str, Any] | None) -> MetadataFilters | None:
    """Read a filter; ``None`` and ``{}`` are no filter.

    Raises InvalidArgumentError that shows what is wrong, the valid operators where one is unknown.
    """
    if filters is None or filters == {}:
        return None
    return _Parser().group(filters, depth=1)


def combine(*filters: MetadataFilters | None) -> MetadataFilters | None:
    """All of them; ``None`` is no filter."""
    given = [each for each in filters if each is not None]
    return given[0] if len(given) == 1 else _all(given) if given else None


def condition(key: str, operator: FilterOperator, value: Any) -> MetadataFilter:
    """One condition. LlamaIndex's own validation has no booleans, so it is built unvalidated."""
    return MetadataFilter.model_construct(key=key, operator=operator, value=value)


def _all(parts: list[Any], how: FilterCondition = FilterCondition.AND) -> MetadataFilters:
    return MetadataFilters.model_construct(filters=parts, condition=how)


class _Parser:
    """Counts conditions over the whole filter, so that its size is bounded however it nests."""

    def __init__(self) -> None:
        self._conditions = 0

    def group(self, value: Any, depth: int) -> MetadataFilters:
        if not isinstance(value, Mapping) or not value:
            raise InvalidArgumentError(
                f"a filter is an object such as {{'key': 'value'}}, not {shown(value)}"
            )
        if depth > MAX_DEPTH:
            raise InvalidArgumentError(f"filters nest at most {MAX_DEPTH} deep")
        parts: list[Any] = []
        for key, given in value.items():
            if not isinstance(key, str) or not key or len(key) > MAX_TEXT_CHARS:
                raise InvalidArgumentError(f"a filter's key is a short text, not {shown(key)}")
            if _unstorable(key):
                raise InvalidArgumentError(
                    f"the filter's key {shown(key)} has a character that no text holds"
                )
            name = key.removeprefix("$")
            if name in _CONDITIONS:
                parts.append(self._combination(name, given, depth))
            else:
                parts.extend(self._key(key, given))
        return _all(parts)

    def _combination(self, name: str, value: Any, depth: int) -> MetadataFilters:
        if name == "not":
            return _all([self.group(value, depth + 1)], FilterCondition.NOT)
        if not isinstance(value, list) or not value:
            raise InvalidArgumentError(
                f"'{name}' takes a list of filters such as [{{'key': 'value'}}], not {shown(value)}"
            )
        parts = [self.group(each, depth + 1) for each in value]
        return _all(list(parts), FilterCondition(name))

    def _key(self, key: str, value: Any) -> list[MetadataFilter | MetadataFilters]:
        if isinstance(value, list):
            return [self._condition(key, "in", value)]
        if not isinstance(value, Mapping):
            return [self._condition(key, "eq", value)]
        if not value:
            raise InvalidArgumentError(
                f"{shown(key)} has an empty filter; give a value or an operator with a value, "
                "such as {'gte': 1}"
            )
        parts: list[MetadataFilter | MetadataFilters] = []
        for operator, operand in value.items():
            name = operator.removeprefix("$") if isinstance(operator, str) else operator
            parts.append(
                self._between(key, operand)
                if name == "between"
                else self._condition(key, name, operand)
            )
        return parts

    def _condition(self, key: str, operator: object, value: object) -> MetadataFilter:
        if not isinstance(operator, str) or operator not in _OPERATORS:
            raise UnknownNameError(
                f"operator (in the filter on {shown(key)})", operator, OPERATOR_NAMES
            )
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidArgumentError(f"a filter has at most {MAX_CONDITIONS} conditions")
        return condition(key, _OPERATORS[operator], _checked(key, operator, value))

    def _between(self, key: str, value: Any) -> MetadataFilters:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidArgumentError(
                f"'between' on {shown(key)} takes two values such as [1, 5], not {shown(value)}"
            )
        low = self._condition(key, "gte", value[0])
        high = self._condition(key, "lte", value[1])
        wraps = key == TIME_OF_DAY and str(low.value).zfill(5) > str(high.value).zfill(5)
        return _all([low, high], FilterCondition.OR if wraps else FilterCondition.AND)


def _checked(key: str, operator: str, value: object) -> object:
    """The value in the form that the operator takes."""
    where = f"'{operator}' on {shown(key)}"
    kind = _OPERATORS[operator]
    if kind is FilterOperator.IS_EMPTY:
        if not isinstance(value, bool):
            raise InvalidArgumentError(f"{where} takes true or false, not {shown(value)}")
        return value
    if kind in LIST_OPERATORS:
        if not isinstance(value, list) or not value or len(value) > MAX_LIST_VALUES:
            raise InvalidArgumentError(
                f"{where} takes a list of 1 to {MAX_LIST_VALUES} values, not {shown(value)}"
            )
        return [_scalar(where, each) for each in value]
    if kind in TEXT_OPERATORS and not (isinstance(value, str) and value):
        raise InvalidArgumentError(f"{where} takes a text, not {shown(value)}")
    if kind in ORDER_OPERATORS and (value is None or isinstance(value, bool)):
        raise InvalidArgumentError(f"{where} takes a number or a text, not {shown(value)}")
    if value is None and kind not in (FilterOperator.EQ, FilterOperator.NE):
        raise InvalidArgumentError(f"{where} takes a value, not null; see 'is_empty'")
    return None if value is None else _scalar(where, value)


def _scalar(where: str, value: object) -> str | int | float | bool:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARS:
            raise InvalidArgumentError(
                f"{where} takes a text of at most {MAX_TEXT_CHARS} characters, not {len(value):,}"
            )
        if _unstorable(value):
            raise InvalidArgumentError(
                f"{where} has a character that no text holds: {shown(value)}"
            )
        return value
    if isinstance(value, bool | int):
        if abs(int(value)) >= 10**18:
            raise InvalidArgumentError(f"{where} takes numbers below 10**18, not {shown(value)}")
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise InvalidArgumentError(f"{where} takes a text, a number or a boolean, not {shown(value)}")


def _unstorable(text: str) -> bool:
    """Whether it holds what Postgres cannot: NUL, or half of a surrogate pair."""
    return "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text)
