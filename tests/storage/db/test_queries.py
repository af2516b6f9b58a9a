from __future__ import annotations

from dataclasses import dataclass

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, fetch_one, fetch_value, fetch_values
from sightline.storage.errors import StorageError

NUMBERS = "SELECT n AS number, 'n' || n AS name FROM generate_series(1, %(max)s) AS n ORDER BY n"


@dataclass(frozen=True)
class Row:
    name: str
    number: int
    note: str = "default"


async def test_rows_are_built_by_column_name_in_any_order(database: Database) -> None:
    async with database.connection() as connection:
        rows = await fetch_all(connection, NUMBERS, {"max": 2}, row=Row)
    assert rows == [Row("n1", 1), Row("n2", 2)]


async def test_a_query_without_rows_returns_an_empty_list_or_none(database: Database) -> None:
    async with database.connection() as connection:
        assert await fetch_all(connection, NUMBERS, {"max": 0}, row=Row) == []
        assert await fetch_one(connection, NUMBERS, {"max": 0}, row=Row) is None
        assert await fetch_value(connection, NUMBERS, {"max": 0}) is None
        assert await fetch_values(connection, NUMBERS, {"max": 0}) == []


async def test_fetch_one_returns_the_first_row(database: Database) -> None:
    async with database.connection() as connection:
        assert await fetch_one(connection, NUMBERS, {"max": 3}, row=Row) == Row("n1", 1)


async def test_values_are_those_of_the_first_column(database: Database) -> None:
    async with database.connection() as connection:
        assert await fetch_value(connection, NUMBERS, {"max": 3}) == 1
        assert await fetch_values(connection, NUMBERS, {"max": 3}) == [1, 2, 3]


async def test_a_null_value_is_none(database: Database) -> None:
    async with database.connection() as connection:
        assert await fetch_value(connection, "SELECT NULL") is None
        assert await fetch_values(connection, "VALUES (1), (NULL)") == [1, None]


async def test_a_column_without_a_field_is_an_error(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(TypeError, match="surplus"):
            await fetch_all(connection, "SELECT 'a' AS name, 1 AS number, 2 AS surplus", row=Row)


async def test_a_field_without_a_column_is_an_error(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(TypeError, match="number"):
            await fetch_one(connection, "SELECT 'a' AS name", row=Row)


async def test_driver_errors_are_wrapped(database: Database) -> None:
    with pytest.raises(StorageError, match="division by zero"):
        async with database.connection() as connection:
            await fetch_value(connection, "SELECT 1 / 0")
