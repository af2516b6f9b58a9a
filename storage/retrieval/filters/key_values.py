"""The values of a built-in or metadata key in a scope, most frequent first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import dict_row

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.errors import UnknownNameError
from sightline.storage.records.filter_keys import METADATA_PREFIX, metadata_name
from sightline.storage.retrieval.filters.filter_columns import FilterSchema
from sightline.storage.retrieval.filters.filter_compiler import MetadataFields
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.search_types import ResultLevel
from sightline.storage.types import Json

MAX_VALUE_CHARS = 200
"""Of a value in the list, as text; the rest is cut."""
_EVERY_ROW = 2**62
_SQL = load_sql("selection")


@dataclass(frozen=True, slots=True)
class KeyExpression:
    """The SQL value of a key: of a column, or a jsonb value (``is_metadata``)."""

    value: sql.Composable
    is_metadata: bool = False
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Values with the number of rows of each; ``found`` is the number of values."""

    counts: tuple[tuple[Json, int], ...]
    found: int


def key_expression(key: str, schema: FilterSchema, fields: MetadataFields) -> KeyExpression:
    """Return the value of a key. Raises UnknownNameError.

    ``captured_at`` has the local day, and ``time_of_day`` the hour.
    """
    column = schema.columns.get(key)
    field = fields.get(key.removeprefix(METADATA_PREFIX))
    if column is None:
        if field is None:
            known = [metadata_name(each.path) for each in fields.values()]
            raise UnknownNameError("key", key, [*schema.columns, *known])
        value = sql.SQL("{} #> %(key_path)s::text[]").format(sql.SQL(schema.metadata))
        return KeyExpression(value, True, {"key_path": list(field.path)})
    if column.type == "moment":
        local = sql.SQL(column.local_sql)
        return KeyExpression(sql.SQL("to_char({}, 'YYYY-MM-DD')").format(local))
    if column.type == "time":
        return KeyExpression(sql.SQL("to_char({}, 'HH24:00')").format(sql.SQL(column.sql)))
    return KeyExpression(sql.SQL(column.sql), is_metadata=column.type == "labels")


async def read_values(
    connection: Connection,
    scope: SearchScope,
    level: ResultLevel,
    key: KeyExpression,
    *,
    limit: int,
    max_rows: int = _EVERY_ROW,
) -> KeyValues:
    """Return the values of a key; each element of a list in the metadata counts.

    A value longer than `MAX_VALUE_CHARS` is a text: its beginning, and how much is left out.
    """
    rows, parameters = scope.rows(level)
    block = "metadata_values" if key.is_metadata else "column_values"
    statement = sql.SQL(_SQL[block]).format(rows=rows, value=key.value, id=_id(level))
    params: Mapping[str, object] = {
        **parameters,
        **key.parameters,
        "max_rows": max_rows,
        "max_chars": MAX_VALUE_CHARS,
        "limit": limit,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        found = await (await cursor.execute(statement, params)).fetchall()
    counts = tuple((_value(row["value"], row["left_out"]), int(row["count"])) for row in found)
    return KeyValues(counts, found[0]["found"] if found else 0)


async def count_rows_with_value(
    connection: Connection, scope: SearchScope, level: ResultLevel, key: KeyExpression
) -> int:
    """Return the number of assets or passages that have any value of a key."""
    rows, parameters = scope.rows(level)
    block = "count_with_metadata" if key.is_metadata else "count_with_column"
    statement = sql.SQL(_SQL[block]).format(rows=rows, value=key.value)
    return int(await fetch_value(connection, statement, {**parameters, **key.parameters}))


def _id(level: ResultLevel) -> sql.SQL:
    return sql.SQL("a.id" if level == "asset" else "p.id")


def _value(value: Json, left_out: int) -> Json:
    return f"{value}… ({left_out:,} more characters)" if left_out else value
