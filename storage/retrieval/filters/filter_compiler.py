"""Compile filters to SQL with fixed column names and bound parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown
from sightline.storage.retrieval.filters.filter_language import (
    LIST_OPERATORS,
    ORDER_OPERATORS,
    TEXT_OPERATORS,
    Comparison,
    FilterGroup,
    Operator,
)
from sightline.storage.retrieval.filters.filter_schema import Column, ColumnType, FilterSchema

_METADATA_PREFIX = "metadata."
_COMPARISONS: Mapping[Operator, LiteralString] = {
    "eq": "=",
    "ne": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MINUTE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?:Z|[+-]\d{2}:?\d{2})?")
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")

MetadataTypes = Mapping[str, frozenset[str]]
"""JSON types ('string', 'number', ...) of the values of each existing metadata key."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean SQL expression with its named parameters (``f0``, ``f1``, ...)."""

    sql: sql.Composable = field(default_factory=lambda: sql.SQL("true"))
    parameters: Mapping[str, object] = field(default_factory=dict)
    is_restrictive: bool = False

    def __bool__(self) -> bool:
        return self.is_restrictive


def metadata_keys(filters: FilterGroup | None, schema: FilterSchema) -> set[str]:
    """Return the metadata keys that a filter uses."""
    if filters is None:
        return set()
    return {
        part.key.removeprefix(_METADATA_PREFIX)
        for part in _comparisons(filters)
        if part.key not in schema.columns
    }


def compile_filters(
    filters: FilterGroup | None, schema: FilterSchema, metadata_types: MetadataTypes
) -> Condition:
    """Compile a filter tree to a SQL condition.

    Raises UnknownNameError for a key that is neither a column nor in ``metadata_types``, and
    InvalidArgumentError for a value whose type does not fit its key.
    """
    if filters is None:
        return Condition()
    compiler = _Compiler(schema, metadata_types)
    return Condition(compiler.group(filters), compiler.parameters, is_restrictive=True)


def _comparisons(group: FilterGroup) -> Iterator[Comparison]:
    for part in group.parts:
        if isinstance(part, FilterGroup):
            yield from _comparisons(part)
        else:
            yield part


class _Compiler:
    def __init__(self, schema: FilterSchema, metadata_types: MetadataTypes) -> None:
        self._schema = schema
        self._metadata_types = metadata_types
        self.parameters: dict[str, object] = {}

    def group(self, filters: FilterGroup) -> sql.Composable:
        parts = [
            self.group(part) if isinstance(part, FilterGroup) else self._comparison(part)
            for part in filters.parts
        ]
        if not parts:
            return sql.SQL("true")
        if filters.combine == "not":
            # A missing value makes a condition unknown; the negation of unknown must match.
            return sql.SQL("(({}) IS NOT TRUE)").format(sql.SQL(" AND ").join(parts))
        separator = sql.SQL(" OR " if filters.combine == "or" else " AND ")
        return sql.SQL("({})").format(separator.join(parts))

    def _comparison(self, leaf: Comparison) -> sql.Composable:
        column = self._schema.columns.get(leaf.key)
        if column is not None:
            return self._column(leaf, column)
        key = leaf.key.removeprefix(_METADATA_PREFIX)
        if key not in self._metadata_types:
            raise UnknownNameError(
                "filter key", leaf.key, [*self._schema.columns, *self._metadata_types]
            )
        return self._metadata(leaf, key)

    def _bind(self, value: object) -> sql.Composable:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    def _column(self, leaf: Comparison, column: Column) -> sql.Composable:
        if column.type == "moment":
            return self._moment(leaf, column)
        expression = sql.SQL(column.sql)
        operator, value = leaf.operator, leaf.value
        if operator == "is_empty" or value is None:
            empty = (
                sql.SQL("({e} IS NULL)")
                if column.type != "text"
                else sql.SQL("(coalesce({e}, '') = '')")
            )
            return _negate_unless(empty.format(e=expression), _wants_empty(leaf))
        if operator in TEXT_OPERATORS or (operator == "contains" and column.type == "text"):
            return self._substring(leaf, expression, column)
        if operator in ("all", "contains"):
            raise InvalidArgumentError(
                f"{shown(leaf.key)} has one value. '{operator}' is for lists."
            )
        if operator in LIST_OPERATORS:
            values = [_column_value(leaf.key, column.type, each) for each in _as_list(value)]
            matches = sql.SQL("({} = ANY({}))").format(expression, self._bind(values))
            return _negate_unless(matches, operator != "nin")
        bound = self._bind(_column_value(leaf.key, column.type, value))
        if operator == "ne":
            return sql.SQL("({} IS DISTINCT FROM {})").format(expression, bound)
        collation = ' COLLATE "C"' if column.type == "text" else ""
        return sql.SQL("({}" + collation + " {} {})").format(
            expression, sql.SQL(_COMPARISONS[operator]), bound
        )

    def _substring(
        self, leaf: Comparison, expression: sql.Composable, column: Column
    ) -> sql.Composable:
        if column.type != "text" or not isinstance(leaf.value, str):
            raise InvalidArgumentError(
                f"{shown(leaf.key)} is a {column.type}. '{leaf.operator}' is for text."
            )
        return _substring_match(expression, self._bind(leaf.value), leaf.operator)

    def _moment(self, leaf: Comparison, column: Column) -> sql.Composable:
        if leaf.operator == "is_empty" or leaf.value is None:
            empty = sql.SQL("(({}) IS NULL)").format(sql.SQL(column.sql))
            return _negate_unless(empty, _wants_empty(leaf))
        if leaf.operator not in _COMPARISONS:
            raise InvalidArgumentError(
                f"{shown(leaf.key)} is a time. Use eq, ne, gt, gte, lt, lte or between."
            )
        start, end = _moment_range(leaf.key, leaf.value)
        expression = sql.SQL(column.sql if start.tzinfo else column.local_sql)
        # A day, a minute or an instant is the range [start, end).
        bounds: Mapping[Operator, tuple[tuple[LiteralString, datetime], ...]] = {
            "eq": ((">=", start), ("<", end)),
            "ne": ((">=", start), ("<", end)),
            "gt": ((">=", end),),
            "gte": ((">=", start),),
            "lt": (("<", start),),
            "lte": (("<", end),),
        }
        within = sql.SQL("({})").format(
            sql.SQL(" AND ").join(
                sql.SQL("{} {} {}").format(expression, sql.SQL(sign), self._bind(moment))
                for sign, moment in bounds[leaf.operator]
            )
        )
        return _negate_unless(within, leaf.operator != "ne")

    def _metadata(self, leaf: Comparison, key: str) -> sql.Composable:
        types = self._metadata_types[key]
        operator, value = leaf.operator, leaf.value
        document = sql.SQL(self._schema.metadata)
        if operator == "is_empty" or value is None:
            empty = sql.SQL(
                "(coalesce({d} -> {k}, 'null') IN ('null', '\"\"', '[]', '{{}}'))"
            ).format(d=document, k=self._bind(key))
            return _negate_unless(empty, _wants_empty(leaf))
        if operator in TEXT_OPERATORS:
            return _substring_match(
                sql.SQL("{} ->> {}").format(document, self._bind(key)), self._bind(value), operator
            )
        _check_metadata_type(leaf.key, types, value)
        if operator in ORDER_OPERATORS:
            return self._ordered(document, key, operator, value)
        if operator == "all":
            return sql.SQL("({})").format(
                sql.SQL(" AND ").join(
                    self._contains(document, {key: [each]}) for each in _as_list(value)
                )
            )
        matches = self._one_of(document, key, operator, value, types)
        negative = operator in ("ne", "nin")
        return _negate_unless(matches, not negative)

    def _one_of(
        self,
        document: sql.Composable,
        key: str,
        operator: Operator,
        value: object,
        types: frozenset[str],
    ) -> sql.Composable:
        """Match a value or a list that contains it; ``@>`` uses the GIN index."""
        choices: list[sql.Composable] = []
        for each in _as_list(value):
            if operator != "contains":
                choices.append(self._contains(document, {key: each}))
            if "array" in types:
                choices.append(self._contains(document, {key: [each]}))
            if operator == "contains" and isinstance(each, str) and "string" in types:
                text = sql.SQL("{} ->> {}").format(document, self._bind(key))
                choices.append(_substring_match(text, self._bind(each), operator))
        if not choices:
            raise InvalidArgumentError(
                f"{shown(key)} has {' or '.join(sorted(types))} values. 'contains' is for lists "
                "and text."
            )
        return sql.SQL("({})").format(sql.SQL(" OR ").join(choices))

    def _contains(self, document: sql.Composable, part: dict[str, object]) -> sql.Composable:
        return sql.SQL("{} @> {}").format(document, self._bind(Jsonb(part)))

    def _ordered(
        self, document: sql.Composable, key: str, operator: Operator, value: object
    ) -> sql.Composable:
        sign = sql.SQL(_COMPARISONS[operator])
        member = sql.SQL("{} -> {}").format(document, self._bind(key))
        if isinstance(value, str):
            return sql.SQL(
                "(jsonb_typeof({m}) = 'string' AND ({m} #>> '{{}}') COLLATE \"C\" {s} {v})"
            ).format(m=member, s=sign, v=self._bind(value))
        return sql.SQL("(jsonb_typeof({m}) = 'number' AND {m} {s} {v})").format(
            m=member, s=sign, v=self._bind(Jsonb(value))
        )


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _wants_empty(leaf: Comparison) -> bool:
    if leaf.operator == "is_empty":
        return leaf.value is not False
    return leaf.operator != "ne"


def _negate_unless(expression: sql.Composable, positive: bool) -> sql.Composable:
    return expression if positive else sql.SQL("({} IS NOT TRUE)").format(expression)


def _substring_match(
    text: sql.Composable, part: sql.Composable, operator: Operator
) -> sql.Composable:
    if operator == "text_match_insensitive":
        return sql.SQL("(strpos(lower({}), lower({})) > 0)").format(text, part)
    return sql.SQL("(strpos({}, {}) > 0)").format(text, part)


def _column_value(key: str, column_type: ColumnType, value: object) -> object:
    """Return the value in the type of the column, or raise InvalidArgumentError."""
    if column_type == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgumentError(f"{shown(key)} is a number, not {shown(value)}.")
        return float(value)
    if column_type == "time":
        if isinstance(value, str) and _TIME.fullmatch(value):
            try:
                return time.fromisoformat(value.zfill(5) if len(value) < 6 else value.zfill(8))
            except ValueError:
                pass
        raise InvalidArgumentError(f"{shown(key)} is a time such as '17:00', not {shown(value)}.")
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{shown(key)} is a text, not {shown(value)}.")
    return value


def _moment_range(key: str, value: object) -> tuple[datetime, datetime]:
    """Return the range [start, end) of a day, a minute or an instant.

    Both are naive (local time at the place) if the value has no offset.
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
            pass
    raise InvalidArgumentError(
        f"{shown(key)} is a date or time such as '2024-05-01' or '2024-05-01T17:00', "
        f"not {shown(value)}."
    )


def _check_metadata_type(key: str, types: frozenset[str], value: object) -> None:
    """Reject a value whose type the key never has: it would match nothing."""
    for each in _as_list(value):
        value_type = _json_type(each)
        if value_type not in types and "array" not in types:
            raise InvalidArgumentError(
                f"{shown(key)} has {' or '.join(sorted(types))} values, and {shown(each)} is a "
                f"{value_type}."
            )


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"
