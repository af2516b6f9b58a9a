"""Fetch rows by name: dataclasses, single values and lists of values."""

from __future__ import annotations

from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import class_row, scalar_row

Row = TypeVar("Row")


async def fetch_all(
    connection: AsyncConnection[Any],
    query: QueryNoTemplate,
    params: Params | None = None,
    *,
    row: type[Row],
) -> list[Row]:
    """Return all rows as instances of ``row``, whose fields are the column names."""
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()


async def fetch_one(
    connection: AsyncConnection[Any],
    query: QueryNoTemplate,
    params: Params | None = None,
    *,
    row: type[Row],
) -> Row | None:
    """Return the first row as an instance of ``row``, or None if there is none."""
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchone()


async def fetch_value(
    connection: AsyncConnection[Any], query: QueryNoTemplate, params: Params | None = None
) -> Any:
    """Return the first column of the first row, or None if there is no row."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchone()


async def fetch_values(
    connection: AsyncConnection[Any], query: QueryNoTemplate, params: Params | None = None
) -> list[Any]:
    """Return the first column of all rows."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()
