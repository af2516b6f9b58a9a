"""``MetadataFilters`` to SQL: names through a whitelist, values as parameters and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown
from sightline.storage.retrieval.filters import filter_values
from sightline.storage.retrieval.filters.filter_language import (
    LIST_OPERATORS,
    ORDER_OPERATORS,
    TEXT_OPERATORS,
)
from sightline.storage.retrieval.filters.filter_schema import Column, FilterSchema

METADATA_PREFIX = "metadata."

_COMPARISONS: Mapping[FilterOperator, LiteralString] = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "<>",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
}

MetadataTypes = Mapping[str, frozenset[str]]
"""The jsonb types ('string', 'number', ...) that each existing metadata key holds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean expression for a WHERE clause, with its named parameters (``f0``, ``f1``, ...)."""

    sql: sql.Composable = field(default_factory=lambda: sql.SQL("true"))
    parameters: Mapping[str, object] = field(default_factory=dict)
    narrows: bool = False

    def __bool__(self) -> bool:
        """Whether there is a filter at all."""
        return self.narrows


def metadata_keys(filters: MetadataFilters | None, schema: FilterSchema) -> set[str]:
    """The metadata keys that a filter names, which have to exist."""
    if filters is None:
        return set()
    return {_metadata_key(leaf.key) for leaf in _leaves(filters) if leaf.key not in schema.columns}


def compile_filters(
    filters: MetadataFilters | None, schema: FilterSchema, known: MetadataTypes
) -> Condition:
    """Compile for a schema, given the metadata keys that exist where the search looks.

    Raises UnknownNameError for a key that is neither a column nor in ``known``, and
    InvalidArgumentError for a value that its key cannot have.
    """
    if filters is None:
        return Condition()
    compiler = _Compiler(schema, known)
    return Condition(compiler.group(filters), compiler.parameters, narrows=True)


def _leaves(filters: MetadataFilters) -> Iterator[MetadataFilter]:
    for part in filters.filters:
        if isinstance(part, MetadataFilters):
            yield from _leaves(part)
        else:
            yield part


def _metadata_key(key: str) -> str:
    return key.removeprefix(METADATA_PREFIX)


class _Compiler:
    def __init__(self, schema: FilterSchema, known: MetadataTypes) -> None:
        self._schema = schema
        self._known = known
        self.parameters: dict[str, object] = {}

    def group(self, filters: MetadataFilters) -> sql.Composable:
        parts = [
            self.group(part) if isinstance(part, MetadataFilters) else self._leaf(part)
            for part in filters.filters
        ]
        if not parts:
            return sql.SQL("true")
        if filters.condition is FilterCondition.NOT:
            # What is unknown (a missing caption) does not match; its negation does.
            return sql.SQL("(({}) IS NOT TRUE)").format(sql.SQL(" AND ").join(parts))
        joint = " OR " if filters.condition is FilterCondition.OR else " AND "
        return sql.SQL("({})").format(sql.SQL(joint).join(parts))

    def _leaf(self, leaf: MetadataFilter) -> sql.Composable:
        column = self._schema.columns.get(leaf.key)
        if column is not None:
            return self._column(leaf, column)
        key = _metadata_key(leaf.key)
        if key not in self._known:
            raise UnknownNameError("filter key", leaf.key, [*self._schema.columns, *self._known])
        return self._metadata(leaf, key)

    def _bind(self, value: object) -> sql.Composable:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    # Columns

    def _column(self, leaf: MetadataFilter, column: Column) -> sql.Composable:
        if column.type == "moment":
            return self._moment(leaf, column)
        expression = sql.SQL(column.sql)
        operator, value = leaf.operator, leaf.value
        if operator is FilterOperator.IS_EMPTY or value is None:
            empty = (
                sql.SQL("({e} IS NULL)")
                if column.type != "text"
                else sql.SQL("(coalesce({e}, '') = '')")
            )
            return _negated_unless(empty.format(e=expression), _wants_empty(leaf))
        if operator in TEXT_OPERATORS or (
            operator is FilterOperator.CONTAINS and column.type == "text"
        ):
            return self._substring(leaf, expression, column)
        if operator in (FilterOperator.ALL, FilterOperator.CONTAINS):
            raise InvalidArgumentError(
                f"{shown(leaf.key)} holds one value; '{operator.value}' is for lists"
            )
        if operator in LIST_OPERATORS:
            values = [filter_values.of_column(leaf.key, column.type, each) for each in _list(value)]
            found = sql.SQL("({} = ANY({}))").format(expression, self._bind(values))
            return _negated_unless(found, operator is not FilterOperator.NIN)
        bound = self._bind(filter_values.of_column(leaf.key, column.type, value))
        if operator is FilterOperator.NE:
            return sql.SQL("({} IS DISTINCT FROM {})").format(expression, bound)
        collation = ' COLLATE "C"' if column.type == "text" else ""
        return sql.SQL("({}" + collation + " {} {})").format(
            expression, sql.SQL(_COMPARISONS[operator]), bound
        )

    def _substring(
        self, leaf: MetadataFilter, expression: sql.Composable, column: Column
    ) -> sql.Composable:
        if column.type != "text" or not isinstance(leaf.value, str):
            raise InvalidArgumentError(
                f"{shown(leaf.key)} is a {column.type}; '{leaf.operator.value}' is for text"
            )
        return _position(expression, self._bind(leaf.value), leaf.operator)

    def _moment(self, leaf: MetadataFilter, column: Column) -> sql.Composable:
        if leaf.operator is FilterOperator.IS_EMPTY or leaf.value is None:
            empty = sql.SQL("(({}) IS NULL)").format(sql.SQL(column.sql))
            return _negated_unless(empty, _wants_empty(leaf))
        if leaf.operator not in _COMPARISONS:
            raise InvalidArgumentError(
                f"{shown(leaf.key)} is a time; compare it with eq, ne, gt, gte, lt, lte or between"
            )
        start, end = filter_values.moment_range(leaf.key, leaf.value)
        expression = sql.SQL(column.sql if start.tzinfo else column.wall_clock)
        # A day, a minute or an instant is the span [start, end).
        bounds: Mapping[FilterOperator, tuple[tuple[LiteralString, Any], ...]] = {
            FilterOperator.EQ: ((">=", start), ("<", end)),
            FilterOperator.NE: ((">=", start), ("<", end)),
            FilterOperator.GT: ((">=", end),),
            FilterOperator.GTE: ((">=", start),),
            FilterOperator.LT: (("<", start),),
            FilterOperator.LTE: (("<", end),),
        }
        within = sql.SQL("({})").format(
            sql.SQL(" AND ").join(
                sql.SQL("{} {} {}").format(expression, sql.SQL(sign), self._bind(moment))
                for sign, moment in bounds[leaf.operator]
            )
        )
        return _negated_unless(within, leaf.operator is not FilterOperator.NE)

    # Metadata

    def _metadata(self, leaf: MetadataFilter, key: str) -> sql.Composable:
        types = self._known[key]
        operator, value = leaf.operator, leaf.value
        document = sql.SQL(self._schema.metadata)
        if operator is FilterOperator.IS_EMPTY or value is None:
            empty = sql.SQL(
                "(coalesce({d} -> {k}, 'null') IN ('null', '\"\"', '[]', '{{}}'))"
            ).format(d=document, k=self._bind(key))
            return _negated_unless(empty, _wants_empty(leaf))
        if operator in TEXT_OPERATORS:
            return _position(
                sql.SQL("{} ->> {}").format(document, self._bind(key)), self._bind(value), operator
            )
        filter_values.check_metadata_type(leaf.key, types, value)
        if operator in ORDER_OPERATORS:
            return self._ordered(document, key, operator, value)
        if operator is FilterOperator.ALL:
            return sql.SQL("({})").format(
                sql.SQL(" AND ").join(self._holds(document, {key: [each]}) for each in _list(value))
            )
        found = self._one_of(document, key, operator, value, types)
        negative = operator in (FilterOperator.NE, FilterOperator.NIN)
        return _negated_unless(found, not negative)

    def _one_of(
        self,
        document: sql.Composable,
        key: str,
        operator: FilterOperator,
        value: object,
        types: frozenset[str],
    ) -> sql.Composable:
        """Equal to a value, or a list that holds it; containment, so that the GIN index serves."""
        choices: list[sql.Composable] = []
        for each in _list(value):
            if operator is not FilterOperator.CONTAINS:
                choices.append(self._holds(document, {key: each}))
            if "array" in types:
                choices.append(self._holds(document, {key: [each]}))
            if operator is FilterOperator.CONTAINS and isinstance(each, str) and "string" in types:
                text = sql.SQL("{} ->> {}").format(document, self._bind(key))
                choices.append(_position(text, self._bind(each), operator))
        if not choices:
            raise InvalidArgumentError(
                f"{shown(key)} holds {' or '.join(sorted(types))} values; 'contains' is for lists "
                "and text"
            )
        return sql.SQL("({})").format(sql.SQL(" OR ").join(choices))

    def _holds(self, document: sql.Composable, part: dict[str, object]) -> sql.Composable:
        return sql.SQL("{} @> {}").format(document, self._bind(Jsonb(part)))

    def _ordered(
        self, document: sql.Composable, key: str, operator: FilterOperator, value: object
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


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _wants_empty(leaf: MetadataFilter) -> bool:
    if leaf.operator is FilterOperator.IS_EMPTY:
        return leaf.value is not False
    return leaf.operator is not FilterOperator.NE


def _negated_unless(expression: sql.Composable, positive: bool) -> sql.Composable:
    return expression if positive else sql.SQL("({} IS NOT TRUE)").format(expression)


def _position(
    text: sql.Composable, part: sql.Composable, operator: FilterOperator
) -> sql.Composable:
    if operator is FilterOperator.TEXT_MATCH_INSENSITIVE:
        return sql.SQL("(strpos(lower({}), lower({})) > 0)").format(text, part)
    return sql.SQL("(strpos({}, {}) > 0)").format(text, part)
