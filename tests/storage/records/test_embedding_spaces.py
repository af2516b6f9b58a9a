from __future__ import annotations

import asyncio

import pytest
from pgvector import HalfVector

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError, StorageError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces

SMALL = EncoderIdentity("small", "aa" * 8, "cc" * 8, 4)
OTHER = EncoderIdentity("other", "bb" * 8, "cc" * 8, 4)


async def test_concurrent_callers_create_one_space(database: Database) -> None:
    async def ask() -> embedding_spaces.EmbeddingSpace:
        async with database.connection() as connection:
            return await embedding_spaces.get_or_create(connection, SMALL, "asset")

    asked = await asyncio.gather(*(ask() for _ in range(8)))
    assert len(set(asked)) == 1
    async with database.connection() as connection:
        assert await embedding_spaces.list_spaces(connection) == [asked[0]]
        assert await embedding_spaces.has_index(connection, asked[0])


async def test_levels_of_one_encoder_are_different_spaces(database: Database) -> None:
    async with database.connection() as connection:
        made = [
            await embedding_spaces.get_or_create(connection, SMALL, level)
            for level in ("asset", "region", "passage")
        ]
    assert len({space.id for space in made}) == 3


async def test_a_collection_refuses_a_second_encoder(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        first = await embedding_spaces.get_or_create(connection, SMALL, "asset")
        second = await embedding_spaces.get_or_create(connection, OTHER, "asset")
        await embedding_spaces.assign(connection, album.id, first)
        await embedding_spaces.assign(connection, album.id, first)
        with pytest.raises(SpaceMismatchError, match=r"small .* other "):
            await embedding_spaces.assign(connection, album.id, second)
        assert await embedding_spaces.find_for_collection(connection, album.id, "asset") == first
        assert await embedding_spaces.find_for_collection(connection, album.id, "region") is None


async def test_a_vector_of_another_dimension_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        space = await embedding_spaces.get_or_create(connection, SMALL, "asset")
    with pytest.raises(StorageError, match="dimension"):
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO embedding (embedding_space_id, collection_id, embedding) "
                "VALUES (%s, %s, %b)",
                [space.id, album.id, HalfVector([1, 2, 3])],
            )


@pytest.mark.parametrize("dimension", [0, -1, 4001])
async def test_a_dimension_beyond_the_index_limit_is_refused(
    database: Database, dimension: int
) -> None:
    async with database.connection() as connection:
        with pytest.raises(InvalidArgumentError, match=str(dimension)):
            await embedding_spaces.get_or_create(
                connection, EncoderIdentity("odd", "aa", "bb", dimension), "asset"
            )


async def test_an_index_is_dropped_for_a_load_and_built_again(database: Database) -> None:
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, SMALL, "asset")
        await embedding_spaces.drop_index(connection, space)
        assert not await embedding_spaces.has_index(connection, space)
        await embedding_spaces.drop_index(connection, space)
        await embedding_spaces.ensure_index(connection, space)
        await embedding_spaces.ensure_index(connection, space)
        assert await embedding_spaces.has_index(connection, space)


async def test_unused_spaces_are_dropped_unless_an_ingest_is_about_to_use_them(
    database: Database,
) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        used = await embedding_spaces.get_or_create(connection, SMALL, "asset")
        await embedding_spaces.assign(connection, album.id, used)
        unused = await embedding_spaces.get_or_create(connection, OTHER, "asset")
        held = await embedding_spaces.get_or_create(connection, OTHER, "passage")
    async with database.connection() as ingest:
        assert await embedding_spaces.hold(ingest, [used, held])
        async with database.connection() as connection:
            assert await embedding_spaces.drop_unused(connection) == 1
            assert await embedding_spaces.list_spaces(connection) == [used, held]
    async with database.connection() as connection:
        assert not await embedding_spaces.hold(connection, [used, unused])
        assert await embedding_spaces.drop_unused(connection, [used.id]) == 0
        assert await embedding_spaces.drop_unused(connection) == 1
        tables = await connection.execute("SELECT to_regclass('sightline.embedding_2')")
        assert await tables.fetchall() == [(None,)]


async def test_nearest_neighbors_use_the_index(database: Database) -> None:
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, SMALL, "asset")
        await connection.execute("SET LOCAL enable_sort = off")  # the table is empty
        cursor = await connection.execute(
            space.compose(
                "EXPLAIN SELECT asset_id FROM embedding "
                "WHERE embedding_space_id = {embedding_space_id} "
                "ORDER BY embedding::halfvec({dimension}) <=> '[1,0,0,0]' LIMIT 10"
            )
        )
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert f"Index Scan using {space.index}" in plan
