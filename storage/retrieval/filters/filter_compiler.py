"""Compile filters to SQL with fixed column names and bound parameters.

A bare key is a built-in key if there is one of that name;
``metadata.kind`` is the key of the metadata, and ``camera.make`` a nested one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations, pairwise
from typing import LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.errors import InvalidArgumentError, UnknownNameError, choices, shown
from sightline.storage.records.filter_keys import (
    MAX_METADATA_DEPTH,
    METADATA_PREFIX,
    metadata_name,
)
from sightline.storage.retrieval.filters.filter_columns import (
    KM_PER_DEGREE,
    NEAR,
    Column,
    ColumnType,
    FilterSchema,
)
from sightline.storage.retrieval.filters.filter_language import (
    LIST_OPERATORS,
    ORDER_OPERATORS,
    TEXT_OPERATORS,
    Comparison,
    FilterGroup,
    Operator,
)
from sightline.storage.retrieval.filters.label_filter import has_labels


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean SQL expression with its named parameters (``f0``, ``f1``, ...)."""

    sql: sql.Composable = field(default_factory=lambda: sql.SQL("true"))
    parameters: Mapping[str, object] = field(default_factory=dict)
    is_restrictive: bool = False

    def __bool__(self) -> bool:
        return self.is_restrictive


@dataclass(frozen=True, slots=True)
class MetadataField:
    """Where a metadata key is, and the JSON types of its values.

    ``is_numeric_text`` says that its texts are all numbers.
    """

    path: tuple[str, ...]
    types: frozenset[str]
    is_numeric_text: bool = False


MetadataFields = Mapping[str, MetadataField]
"""The existing metadata keys by name, with dots between the levels of a nested key."""

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
TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?")
_TRUE = {"true", "yes", "y", "on", "1"}
_FALSE = {"false", "no", "n", "off", "0"}
_MAX_DOTS = 6
"""Of a name that may be a nested key."""


def metadata_names(filters: FilterGroup | None, schema: FilterSchema) -> set[str]:
    """Return the names of the metadata keys that a filter uses, without prefix."""
    names: set[str] = set()
    for part in filters.parts if filters else ():
        if isinstance(part, FilterGroup):
            names |= metadata_names(part, schema)
        elif part.key not in schema.columns:
            names.add(part.key.removeprefix(METADATA_PREFIX))
    return names


def possible_paths(name: str) -> list[tuple[str, ...]]:
    """Return the paths that a name with dots may mean, the shortest first.

    >>> possible_paths("camera.make")
    [('camera.make',), ('camera', 'make')]
    """
    words = name.split(".")
    if len(words) > _MAX_DOTS + 1:
        return [(name,)]
    paths: list[tuple[str, ...]] = []
    for cuts in range(min(MAX_METADATA_DEPTH, len(words))):
        for places in combinations(range(1, len(words)), cuts):
            bounds = pairwise([0, *places, len(words)])
            paths.append(tuple(".".join(words[start:end]) for start, end in bounds))
    return paths


def compile_filters(
    filters: FilterGroup | None, schema: FilterSchema, fields: MetadataFields
) -> Condition:
    """Compile a filter tree to a SQL condition.

    Raises UnknownNameError for a key that is neither a column nor in ``fields``, and
    InvalidArgumentError for a value whose type does not fit its key.
    """
    if filters is None:
        return Condition()
    compiler = _Compiler(schema, fields)
    return Condition(compiler.group(filters), compiler.parameters, is_restrictive=True)


class _Compiler:
    def __init__(self, schema: FilterSchema, fields: MetadataFields) -> None:
        self._columns = schema.columns
        self._document = sql.SQL(schema.metadata)
        self._fields = fields
        self.parameters: dict[str, object] = {}

    def group(self, filters: FilterGroup) -> sql.Composable:
        parts = [
            self.group(part) if isinstance(part, FilterGroup) else self._comparison(part)
            for part in filters.parts
        ]
        if filters.combine == "not":
            # A missing value makes a condition unknown; the negation of unknown must match.
            return sql.SQL("(({}) IS NOT TRUE)").format(sql.SQL(" AND ").join(parts))
        separator = sql.SQL(" OR " if filters.combine == "or" else " AND ")
        return sql.SQL("({})").format(separator.join(parts))

    def _bind(self, value: object) -> sql.Composable:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    def _comparison(self, leaf: Comparison) -> sql.Composable:
        column = self._columns.get(leaf.key)
        field = self._fields.get(leaf.key.removeprefix(METADATA_PREFIX))
        is_empty = leaf.operator == "is_empty" or leaf.value is None
        is_wanted = leaf.value is not False and leaf.operator != "ne"
        if column is not None:
            if is_empty:
                return _negate_unless(self._is_empty_column(column), is_wanted)
            if column.type in ("position", "labels"):
                is_position = column.type == "position"
                return self._near(leaf) if is_position else has_labels(leaf, self._bind)
            return (self._moment if column.type == "moment" else self._column)(leaf, column)
        if field is None:
            known = [metadata_name(each.path) for each in self._fields.values()]
            raise UnknownNameError("filter key", leaf.key, [*self._columns, *known])
        if is_empty:
            return _negate_unless(self._is_empty(field), is_wanted)
        return self._metadata(leaf, field)

    def _is_empty_column(self, column: Column) -> sql.Composable:
        template = sql.SQL("(coalesce({}, '') = '')" if column.type == "text" else "(({}) IS NULL)")
        return template.format(sql.SQL(column.sql))

    def _is_empty(self, field: MetadataField) -> sql.Composable:
        return sql.SQL("(coalesce({}, 'null') IN ('null', '\"\"', '[]', '{{}}'))").format(
            self._value(field)
        )

    def _column(self, leaf: Comparison, column: Column) -> sql.Composable:
        expression = sql.SQL(column.sql)
        operator, value = leaf.operator, leaf.value
        if operator in TEXT_OPERATORS or (operator == "contains" and column.type == "text"):
            if column.type != "text" or not isinstance(value, str):
                raise InvalidArgumentError(
                    f"{shown(leaf.key)} is a {column.type}. '{operator}' is for text."
                )
            return _substring_match(expression, self._bind(value), operator)
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
        collation = sql.SQL(' COLLATE "C"' if column.type == "text" else "")
        sign = sql.SQL(_COMPARISONS[operator])
        return sql.SQL("({}{} {} {})").format(expression, collation, sign, bound)

    def _moment(self, leaf: Comparison, column: Column) -> sql.Composable:
        if leaf.operator not in _COMPARISONS:
            raise InvalidArgumentError(
                f"{shown(leaf.key)} is a time. Use eq, ne, gt, gte, lt, lte or between."
            )
        if isinstance(leaf.value, str) and TIME.fullmatch(leaf.value):
            raise InvalidArgumentError(time_of_day_problem(leaf.key, leaf.operator, leaf.value))
        start, end = _moment_range(leaf.key, leaf.value)
        expression = sql.SQL(column.sql if start.tzinfo else column.local_sql)
        # A day, a minute or an instant is the range [start, end).
        first = {"gt": end, "lt": None, "lte": None}.get(leaf.operator, start)
        last = {"lt": start, "gt": None, "gte": None}.get(leaf.operator, end)
        within = sql.SQL(" AND ").join(
            sql.SQL(template).format(expression, self._bind(moment))
            for template, moment in (("{} >= {}", first), ("{} < {}", last))
            if moment is not None
        )
        return _negate_unless(sql.SQL("({})").format(within), leaf.operator != "ne")

    def _near(self, leaf: Comparison) -> sql.Composable:
        latitude, longitude, kilometers = leaf.value
        band = kilometers / KM_PER_DEGREE
        return sql.SQL(NEAR).format(
            latitude=self._bind(latitude),
            longitude=self._bind(longitude),
            kilometers=self._bind(kilometers),
            south=self._bind(latitude - band),
            north=self._bind(latitude + band),
        )

    def _metadata(self, leaf: Comparison, field: MetadataField) -> sql.Composable:
        types, operator = field.types, leaf.operator
        if operator in TEXT_OPERATORS:
            return _substring_match(self._text(field), self._bind(leaf.value), operator)
        value = _in_types(leaf.value, types)
        self._require_types(leaf, value, field)
        if operator in ORDER_OPERATORS:
            return self._ordered(field, operator, value)
        if operator == "all":
            parts = [self._contains(field, [each]) for each in _as_list(value)]
            return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))
        # Match a value or a list that contains it; ``@>`` uses the GIN index.
        choices: list[sql.Composable] = []
        for each in _as_list(value):
            if operator != "contains":
                choices.append(self._contains(field, each))
            if "array" in types:
                choices.append(self._contains(field, [each]))
            if operator == "contains" and isinstance(each, str) and "string" in types:
                choices.append(_substring_match(self._text(field), self._bind(each), operator))
        if not choices:
            raise InvalidArgumentError(
                f"{shown(leaf.key)} has {' or '.join(sorted(types))} values. 'contains' is for "
                "lists and text."
            )
        matches = sql.SQL("({})").format(sql.SQL(" OR ").join(choices))
        return _negate_unless(matches, operator not in ("ne", "nin"))

    def _require_types(self, leaf: Comparison, value: object, field: MetadataField) -> None:
        """Refuse values of a type that the key never has, because they match nothing."""
        is_number = isinstance(_to_number(leaf.value), int | float)
        if leaf.operator in ORDER_OPERATORS and field.is_numeric_text and is_number:
            raise InvalidArgumentError(
                f"The values of {shown(leaf.key)} are numbers written as text, so "
                f"'{leaf.operator}' would compare their characters ('120' is less than '5'). "
                "Store them as numbers and ingest the files again, or list exact texts in 'in'."
            )
        for each in _as_list(value):
            if _json_type(each) not in field.types and "array" not in field.types:
                raise InvalidArgumentError(
                    f"{shown(leaf.key)} has {' or '.join(sorted(field.types))} values, and "
                    f"{shown(each)} is a {_json_type(each)}. {self._hint(each, field)}".rstrip()
                )

    def _hint(self, value: object, field: MetadataField) -> str:
        """Return the boolean that a value means, or the keys of an object."""
        if "boolean" in field.types:
            word = str(value).strip().casefold()
            meant = "true" if word in _TRUE else "false" if word in _FALSE else "true or false"
            return f"Use {meant}."
        depth = len(field.path)
        nested = {
            metadata_name(each.path)
            for each in self._fields.values()
            if len(each.path) == depth + 1 and each.path[:depth] == field.path
        }
        return f"Its keys: {choices(nested)}." if nested else ""

    def _value(self, field: MetadataField) -> sql.Composable:
        return sql.SQL("{} #> {}::text[]").format(self._document, self._bind(list(field.path)))

    def _text(self, field: MetadataField) -> sql.Composable:
        return sql.SQL("{} #>> {}::text[]").format(self._document, self._bind(list(field.path)))

    def _contains(self, field: MetadataField, value: object) -> sql.Composable:
        for key in reversed(field.path):
            value = {key: value}
        return sql.SQL("{} @> {}").format(self._document, self._bind(Jsonb(value)))

    def _ordered(self, field: MetadataField, operator: Operator, value: object) -> sql.Composable:
        template: LiteralString = "(jsonb_typeof({m}) = 'number' AND ({m}) {s} {v})"
        if isinstance(value, str):
            template = "(jsonb_typeof({m}) = 'string' AND ({m} #>> '{{}}') COLLATE \"C\" {s} {v})"
        return sql.SQL(template).format(
            m=self._value(field),
            s=sql.SQL(_COMPARISONS[operator]),
            v=self._bind(value if isinstance(value, str) else Jsonb(value)),
        )


def time_of_day_problem(key: str, operator: str, value: str) -> str:
    """Return the message for a time of day where a date is needed."""
    return (
        f"{shown(key)} takes a date, and {shown(value)} is a time of day. "
        f'Use filters: {{"time_of_day": {{"{operator}": "{value}"}}}}.'
    )


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _negate_unless(expression: sql.Composable, positive: bool) -> sql.Composable:
    return expression if positive else sql.SQL("({} IS NOT TRUE)").format(expression)


def _substring_match(
    text: sql.Composable, part: sql.Composable, operator: Operator
) -> sql.Composable:
    ignores_case = operator == "text_match_insensitive"
    template = "(strpos(lower({}), lower({})) > 0)" if ignores_case else "(strpos({}, {}) > 0)"
    return sql.SQL(template).format(text, part)


def _column_value(key: str, column_type: ColumnType, value: object) -> object:
    """Return the value in the type of the column, or raise InvalidArgumentError."""
    if column_type == "number":
        value = _to_number(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgumentError(f"{shown(key)} is a number, not {shown(value)}.")
        return float(value)
    if column_type == "time":
        if isinstance(value, str) and TIME.fullmatch(value):
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


def _in_types(value: object, types: frozenset[str]) -> object:
    """Return numeric text as a number if the key has numbers and no text."""
    if "number" not in types or not types.isdisjoint(("string", "array")):
        return value
    return [_to_number(each) for each in value] if isinstance(value, list) else _to_number(value)


def _to_number(value: object) -> object:
    """Return the number that a text contains, or the value itself."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"
