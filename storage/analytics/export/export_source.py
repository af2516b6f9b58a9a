"""What an export reads: a view with conditions, or a query."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection, sql

from sightline.storage.analytics.sql_guard import one_query
from sightline.storage.analytics.sql_runner import ViewSummary
from sightline.storage.db.pool import wrap_driver_errors
from sightline.storage.db.queries import Connection, fetch_all, fetch_values, load_sql
from sightline.storage.errors import InvalidArgumentError, UnknownNameError, choices
from sightline.storage.records import collections
from sightline.storage.types import Level

_SQL = load_sql("analytics")
VECTOR_TYPES = ("halfvec", "vector")


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A query with the Postgres types of its columns by name."""

    query: sql.Composable
    columns: Mapping[str, str]

    @property
    def vectors(self) -> list[str]:
        """Return the names of the columns with vectors."""
        return [name for name, type_ in self.columns.items() if type_ in VECTOR_TYPES]


@asynccontextmanager
async def connect_read_only(dsn: str) -> AsyncIterator[Connection]:
    """Open a connection of a read-only login, which keeps its search path.

    Vectors arrive as pgvector's types.
    """
    with wrap_driver_errors():
        async with await AsyncConnection.connect(dsn) as connection:
            await connection.set_read_only(True)
            await register_vector_async(connection)
            yield connection


async def start_snapshot(connection: Connection) -> None:
    """Make the transaction a consistent, read-only snapshot without a time limit."""
    await connection.execute(_SQL["export_snapshot"])
    await connection.execute(_SQL["export_settings"])


async def view_source(
    connection: Connection,
    view: str,
    *,
    collection: str | None = None,
    level: Level | None = None,
    embedding_space: int | None = None,
) -> ExportSource:
    """Return a view, with the rows that meet all conditions.

    Raises UnknownNameError for a view or collection, and InvalidArgumentError for a condition on a
    column that the view does not have.
    """
    summaries = await fetch_all(connection, _SQL["views"], row=ViewSummary)
    views = {each.name: dict(column.split(" ", 1) for column in each.columns) for each in summaries}
    if view not in views:
        raise UnknownNameError("view", view, views)
    if collection is not None:
        collection = (await collections.get(connection, collection)).name
    given = {"collection": collection, "level": level, "embedding_space_id": embedding_space}
    conditions: list[sql.Composable] = [sql.SQL("true")]
    for column, value in given.items():
        if value is None:
            continue
        if column not in views[view]:
            with_it = choices([name for name, columns in views.items() if column in columns])
            raise InvalidArgumentError(
                f"The view {view!r} has no column {column!r}. Views with it: {with_it}."
            )
        conditions.append(sql.SQL("{} = {}").format(sql.Identifier(column), value))
    query = sql.SQL(_SQL["export_view"]).format(
        view=sql.Identifier(view), condition=sql.SQL(" AND ").join(conditions)
    )
    return ExportSource(query, views[view])


async def query_source(connection: Connection, text: str) -> ExportSource:
    """Return a query of the user; it does not run yet.

    Raises InvalidArgumentError or NotAllowedError for anything but one query with different
    column names, and InvalidArgumentError with the message of Postgres.
    """
    query = sql.SQL("({})").format(sql.SQL(one_query(text)))
    try:
        described = await connection.execute(
            sql.SQL(_SQL["export_columns"]).format(rows=query), binary=True
        )
    except psycopg.Error as error:
        diagnosis = error.diag
        parts = (diagnosis.message_primary or str(error), diagnosis.message_hint)
        raise InvalidArgumentError(
            "Postgres: " + ". ".join(part.rstrip(".") for part in parts if part) + "."
        ) from error
    columns = described.description or []
    if repeated := [name for name, n in Counter(each.name for each in columns).items() if n > 1]:
        raise InvalidArgumentError(
            f"The query has several columns {repeated[0]!r}. Give each a name of its own with AS."
        )
    params = {"oids": [each.type_code for each in columns]}
    types = await fetch_values(connection, _SQL["type_names"], params)
    return ExportSource(query, dict(zip([each.name for each in columns], types, strict=True)))
