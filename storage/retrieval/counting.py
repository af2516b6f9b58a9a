"""Count what a selection matches, in total and by the values of one key."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_value, load_sql
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.records.filter_keys import METADATA_PREFIX
from sightline.storage.retrieval.filters.empty_selection import explain_empty_selection
from sightline.storage.retrieval.filters.filter_columns import ASSETS, PASSAGES
from sightline.storage.retrieval.filters.key_values import (
    count_rows_with_value,
    key_expression,
    read_values,
)
from sightline.storage.retrieval.filters.search_scope import metadata_fields, resolve_scope
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import ResultLevel, Selection
from sightline.storage.types import Json

MAX_COUNTED_VALUES = 200
_MAX_KEY_CHARS = 500
_SQL = load_sql("selection")


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of the key, and the number of assets or passages that have it."""

    value: Json
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionCount:
    """The number of matching assets or passages, and by value of a key.

    ``values`` are the most frequent ones, as they are stored: 'Fruit' and 'fruit' are two.
    ``other_values`` is the number of distinct values left out, and ``without_value`` that of assets
    or passages that have none. An element of a list counts as a value, so counts may overlap.
    """

    total: int
    values: tuple[ValueCount, ...] = ()
    other_values: int = 0
    without_value: int = 0
    notes: tuple[str, ...] = ()


async def count_selected(
    database: Database,
    selection: Selection,
    *,
    level: ResultLevel = "asset",
    by: str | None = None,
    limit: int = 20,
    caches: SearchCaches | None = None,
) -> SelectionCount:
    """Count the assets or passages of a selection, exactly.

    ``by`` is a built-in key or a metadata key, as in filters. ``captured_at`` counts by local day,
    ``time_of_day`` by hour.

    Raises UnknownNameError for an unknown collection or key, InvalidArgumentError for an invalid
    filter or limit.
    """
    if not 1 <= limit <= MAX_COUNTED_VALUES:
        raise InvalidArgumentError(f"limit is {shown(limit)}. Use 1 to {MAX_COUNTED_VALUES}.")
    if by is not None and (not by or len(by) > _MAX_KEY_CHARS or "\x00" in by):
        raise InvalidArgumentError(f"A key is a short text, not {shown(by)}.")
    caches = caches or SearchCaches()
    schema = ASSETS if level == "asset" else PASSAGES
    async with database.connection(autocommit=True) as connection:
        scope = await resolve_scope(connection, selection, {}, schema, caches)
        rows, parameters = scope.rows(level)
        total = await fetch_value(connection, sql.SQL(_SQL["count"]).format(rows=rows), parameters)
        notes = scope.notes
        if not total:
            notes += await explain_empty_selection(connection, scope, level, schema)
        if by is None:
            return SelectionCount(total=total, notes=notes)
        name = by.removeprefix(METADATA_PREFIX)
        fields = await metadata_fields(connection, tuple(scope.collection_ids), {name}, caches)
        key = key_expression(by, schema, fields)
        found = await read_values(connection, scope, level, key, limit=limit)
        with_value = await count_rows_with_value(connection, scope, level, key)
    return SelectionCount(
        total=total,
        values=tuple(ValueCount(value, count) for value, count in found.counts),
        other_values=found.found - len(found.counts),
        without_value=total - with_value,
        notes=notes,
    )
