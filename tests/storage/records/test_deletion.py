from __future__ import annotations

from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.errors import UnknownAssetError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import assets, collections, embedding_spaces
from sightline.storage.records.deletion import DeletionResult, delete_assets
from tests.support.database_rows import add_asset, add_passage, add_source, add_vector

A, B, C = "a" * 12, "b" * 12, "c" * 12
SMALL = EncoderIdentity("small", "aa" * 8, "cc" * 8, 2)


async def rows(connection: Connection) -> dict[str, int]:
    """The number of rows of each table that hangs on assets."""
    counted = {}
    for table in ("source", "asset", "thumbnail", "passage", "posting", "embedding"):
        (row,) = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchall()  # type: ignore[arg-type]
        counted[table] = row[0]
    return counted


async def test_dependent_rows_are_deleted_with_an_asset(database: Database, tmp_path: Path) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        space = await embedding_spaces.get_or_create(connection, SMALL, "asset")
        for id_ in (A, B):
            source = await add_source(connection, album, f"{id_}.jpg")
            await add_asset(connection, album, id_, source_id=source)
            await add_passage(connection, album, source, "red apple red", id_)
            await add_vector(connection, album, space, [1, 0], asset_id=id_)
    assert await delete_assets(database, BlobStore(tmp_path), [A, A]) == DeletionResult(
        assets=1, sources=1, passages=1, annotations=0, blobs=0
    )
    async with database.connection() as connection:
        assert await rows(connection) == {
            "source": 1,
            "asset": 1,
            "thumbnail": 1,
            "passage": 1,
            "posting": 2,
            "embedding": 1,
        }
        assert (await assets.fetch_one(connection, B)).id == B


async def test_nothing_is_deleted_if_one_id_is_unknown(database: Database, tmp_path: Path) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, A)
    with pytest.raises(UnknownAssetError, match=f"'{C}'"):
        await delete_assets(database, BlobStore(tmp_path), [A, C])
    async with database.connection() as connection:
        assert (await rows(connection))["asset"] == 1


async def test_a_source_is_deleted_with_its_last_page(database: Database, tmp_path: Path) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        source = await add_source(connection, album, "report.pdf", kind="pdf")
        for ordinal, id_ in enumerate((A, B)):
            await add_asset(
                connection, album, id_, source_id=source, kind="page", ordinal=ordinal, page=1
            )
        await add_passage(connection, album, source, "of no page")
    store = BlobStore(tmp_path)
    assert (await delete_assets(database, store, [A])).sources == 0
    async with database.connection() as connection:
        assert (await rows(connection))["passage"] == 1
    assert (await delete_assets(database, store, [B])).sources == 1
    async with database.connection() as connection:
        assert set((await rows(connection)).values()) == {0}


async def test_a_blob_is_deleted_with_its_last_asset(database: Database, tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    location = store.put(b"a picture")
    async with database.connection() as connection:
        for name, id_ in (("album", A), ("copy", B)):
            collection = await collections.ensure(connection, name)
            await add_asset(connection, collection, id_, location=location)
    assert (await delete_assets(database, store, [A])).blobs == 0
    assert store.exists(location)
    assert (await delete_assets(database, store, [B])).blobs == 1
    assert not store.exists(location)
