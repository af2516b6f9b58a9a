"""Compile filters to SQL with fixed column names and bound parameters.

The expressions use the table aliases of `storage/sql/retrieval.sql`: ``a`` asset, ``s`` source,
``c`` collection, ``p`` passage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, LiteralString

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

ColumnType = Literal["text", "number", "moment", "time"]


@dataclass(frozen=True, slots=True)
class Column:
    """A SQL expression and the type of its values.

    A ``moment`` has an instant (timestamptz) and ``local_sql``, the local time at the place
    (timestamp), for values without an offset.
    """

    sql: LiteralString
    type: ColumnType
    local_sql: LiteralString = ""


@dataclass(frozen=True, slots=True)
class FilterSchema:
    """Columns by filter name, and the jsonb expression of the metadata."""

    columns: Mapping[str, Column]
    metadata: LiteralString


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean SQL expression with its named parameters (``f0``, ``f1``, ...)."""

    sql: sql.Composable = field(default_factory=lambda: sql.SQL("true"))
    parameters: Mapping[str, object] = field(default_factory=dict)
    is_restrictive: bool = False

    def __bool__(self) -> bool:
        return self.is_restrictive


MetadataTypes = Mapping[str, frozenset[str]]
"""JSON types ('string', 'number', ...) of the values of each existing metadata key."""

_INSTANT = "coalesce(a.captured_at, a.captured_local AT TIME ZONE 'UTC')"
_LOCAL_TIME = "coalesce(a.captured_local, a.captured_at AT TIME ZONE 'UTC')"

_SHARED: Mapping[str, Column] = {
    "asset": Column("a.id", "text"),
    "source": Column("s.name", "text"),
    "file_name": Column(r"regexp_replace(s.name, '^.*[/\\]', '')", "text"),
    "mime_type": Column("s.mime_type", "text"),
    "collection": Column("c.name", "text"),
    "width": Column("a.width", "number"),
    "height": Column("a.height", "number"),
    "captured_at": Column(_INSTANT, "moment", _LOCAL_TIME),
    "time_of_day": Column(f"({_LOCAL_TIME})::time", "time"),
    "caption": Column("a.caption", "text"),
}

ASSETS = FilterSchema(
    columns={
        **_SHARED,
        "kind": Column("a.kind", "text"),
        "page": Column("a.page", "number"),
        "seconds": Column("a.frame_seconds", "number"),
    },
    metadata="a.metadata",
)

PASSAGES = FilterSchema(
    columns={
        **_SHARED,
        "kind": Column("p.kind", "text"),
        "page": Column("coalesce(p.page, a.page)", "number"),
        "seconds": Column("coalesce(p.start_seconds, a.frame_seconds)", "number"),
        "asset_kind": Column("a.kind", "text"),
        "text": Column("p.text", "text"),
        "language": Column("p.language", "text"),
        "confidence": Column("p.confidence", "number"),
    },
    # A passage without an asset uses the metadata of its source.
    metadata="coalesce(a.metadata, s.metadata)",
)

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


def metadata_keys(filters: FilterGroup | None, schema: FilterSchema) -> set[str]:
    """Return the metadata keys that a filter uses."""
    keys: set[str] = set()
    for part in filters.parts if filters else ():
        if isinstance(part, FilterGroup):
            keys |= metadata_keys(part, schema)
        elif part.key not in schema.columns:
            keys.add(part.key.removeprefix(_METADATA_PREFIX))
    return keys


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


class _Compiler:
    def __init__(self, schema: FilterSchema, metadata_types: MetadataTypes) -> None:
        self._columns = schema.columns
        self._document = sql.SQL(schema.metadata)
        self._metadata_types = metadata_types
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
        key = leaf.key.removeprefix(_METADATA_PREFIX)
        if column is None and key not in self._metadata_types:
            raise UnknownNameError("filter key", leaf.key, [*self._columns, *self._metadata_types])
        if leaf.operator == "is_empty" or leaf.value is None:
            is_wanted = leaf.value is not False and leaf.operator != "ne"
            return _negate_unless(self._is_empty(column, key), is_wanted)
        if column is None:
            return self._metadata(leaf, key)
        return self._moment(leaf, column) if column.type == "moment" else self._column(leaf, column)

    def _is_empty(self, column: Column | None, key: str) -> sql.Composable:
        if column is None:
            return sql.SQL("(coalesce({} -> {}, 'null') IN ('null', '\"\"', '[]', '{{}}'))").format(
                self._document, self._bind(key)
            )
        template = sql.SQL("(coalesce({}, '') = '')" if column.type == "text" else "(({}) IS NULL)")
        return template.format(sql.SQL(column.sql))

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

    def _metadata(self, leaf: Comparison, key: str) -> sql.Composable:
        types = self._metadata_types[key]
        operator, value = leaf.operator, leaf.value
        if operator in TEXT_OPERATORS:
            return _substring_match(self._text(key), self._bind(value), operator)
        for each in _as_list(value):  # a value of a type that the key never has matches nothing
            if _json_type(each) not in types and "array" not in types:
                raise InvalidArgumentError(
                    f"{shown(leaf.key)} has {' or '.join(sorted(types))} values, and "
                    f"{shown(each)} is a {_json_type(each)}."
                )
        if operator in ORDER_OPERATORS:
            return self._ordered(key, operator, value)
        if operator == "all":
            parts = [self._contains({key: [each]}) for each in _as_list(value)]
            return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))
        # Match a value or a list that contains it; ``@>`` uses the GIN index.
        choices: list[sql.Composable] = []
        for each in _as_list(value):
            if operator != "contains":
                choices.append(self._contains({key: each}))
            if "array" in types:
                choices.append(self._contains({key: [each]}))
            if operator == "contains" and isinstance(each, str) and "string" in types:
                choices.append(_substring_match(self._text(key), self._bind(each), operator))
        if not choices:
            raise InvalidArgumentError(
                f"{shown(key)} has {' or '.join(sorted(types))} values. 'contains' is for lists "
                "and text."
            )
        matches = sql.SQL("({})").format(sql.SQL(" OR ").join(choices))
        return _negate_unless(matches, operator not in ("ne", "nin"))

    def _text(self, key: str) -> sql.Composable:
        return sql.SQL("{} ->> {}").format(self._document, self._bind(key))

    def _contains(self, part: dict[str, object]) -> sql.Composable:
        return sql.SQL("{} @> {}").format(self._document, self._bind(Jsonb(part)))

    def _ordered(self, key: str, operator: Operator, value: object) -> sql.Composable:
        template: LiteralString = "(jsonb_typeof({m}) = 'number' AND {m} {s} {v})"
        if isinstance(value, str):
            template = "(jsonb_typeof({m}) = 'string' AND ({m} #>> '{{}}') COLLATE \"C\" {s} {v})"
        return sql.SQL(template).format(
            m=sql.SQL("{} -> {}").format(self._document, self._bind(key)),
            s=sql.SQL(_COMPARISONS[operator]),
            v=self._bind(value if isinstance(value, str) else Jsonb(value)),
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


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"
