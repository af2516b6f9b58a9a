from __future__ import annotations

import pytest
from pgvector import HalfVector

from sightline.storage.database import Database
from sightline.storage.errors import StorageError


async def test_half_vectors_travel_both_ways(database: Database) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT %b::halfvec, vector_dims(%b)", [HalfVector([1, 2.5])] * 2
        )
        row = await cursor.fetchone()
    assert row is not None
    assert row[0].to_list() == [1, 2.5]
    assert row[1] == 2


async def test_block_is_one_transaction(database: Database) -> None:
    async def half_done() -> None:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO collection (name) VALUES ('a')")
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(StorageError, match="division by zero"):
        await half_done()
    async with database.connection(autocommit=True) as connection:
        cursor = await connection.execute("SELECT count(*) FROM collection")
        assert await cursor.fetchone() == (0,)
