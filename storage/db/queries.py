"""Load named SQL statements, and fetch rows by name as dataclasses or values."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, TypeVar, cast

from psycopg import AsyncConnection
from psycopg.abc import Params
from psycopg.abc import QueryNoTemplate as Query
from psycopg.rows import TupleRow, kwargs_row, scalar_row

Connection = AsyncConnection[TupleRow]
Row = TypeVar("Row")

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def load_sql(module: str) -> dict[str, LiteralString]:
    """Return the blocks of ``storage/sql/<module>.sql`` by name.

    A block starts at ``-- name: fetch_asset`` and ends at the next name. The text is fixed in the
    package, as ``LiteralString`` promises to psycopg.
    """
    text = files("sightline.storage").joinpath("sql", f"{module}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    blocks = (cast("LiteralString", body.strip()) for body in parts[1::2])
    return dict(zip(parts[::2], blocks, strict=True))


async def fetch_all(
    connection: Connection, query: Query, params: Params | None = None, *, row: Callable[..., Row]
) -> list[Row]:
    """Return ``row(**columns)`` for each row, such as a dataclass."""
    cursor = connection.cursor(row_factory=kwargs_row(row))
    return await (await cursor.execute(query, params)).fetchall()


async def fetch_one(
    connection: Connection, query: Query, params: Params | None = None, *, row: Callable[..., Row]
) -> Row | None:
    """Return the first row as ``row(**columns)``, or None if there is none."""
    cursor = connection.cursor(row_factory=kwargs_row(row))
    return await (await cursor.execute(query, params)).fetchone()


async def fetch_value(connection: Connection, query: Query, params: Params | None = None) -> Any:
    """Return the first column of the first row, or None if there is no row."""
    cursor = connection.cursor(row_factory=scalar_row)
    return await (await cursor.execute(query, params)).fetchone()


async def fetch_values(
    connection: Connection, query: Query, params: Params | None = None
) -> list[Any]:
    """Return the first column of all rows."""
    cursor = connection.cursor(row_factory=scalar_row)
    return await (await cursor.execute(query, params)).fetchall()


async def fetch_pairs(
    connection: Connection, query: Query, params: Params | None = None
) -> dict[Any, Any]:
    """Return the second column of all rows by the first column."""
    return dict(await (await connection.execute(query, params)).fetchall())


async def fetch_batches(
    connection: Connection, query: Query, params: Params | None = None, *, rows: int
) -> AsyncIterator[list[TupleRow]]:
    """Yield batches of at most ``rows`` rows, fetched in binary format."""
    async with connection.cursor(name="batches") as cursor:
        await cursor.execute(query, params, binary=True)
        while batch := await cursor.fetchmany(rows):
            yield batch
