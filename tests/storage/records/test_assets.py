from __future__ import annotations

import hashlib

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.errors import UnknownAssetError
from sightline.storage.records import assets, collections
from tests.support.database_rows import JPEG, add_asset

A, B = "a" * 12, "b" * 12


async def test_an_asset_has_everything_that_results_show(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, A, metadata={"shop": "Aldi"}, caption="a red apple")
        asset = await assets.fetch_one(connection, A)
    assert (asset.id, asset.collection, asset.kind) == (A, "album", "image")
    assert (asset.source, asset.location) == (f"{A}.jpg", f"file:/pictures/{A}.jpg")
    assert (asset.width, asset.height) == (640, 480)
    assert (asset.caption, asset.metadata) == ("a red apple", {"shop": "Aldi"})
    assert asset.sha256 == hashlib.sha256(A.encode()).digest()
    assert (asset.page, asset.frame_seconds, asset.captured_at, asset.captured_local) == (None,) * 4


async def test_assets_have_the_order_of_the_ids(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, A)
        await add_asset(connection, album, B)
        found = await assets.fetch(connection, [B, A, B])
        assert [asset.id for asset in found] == [B, A, B]
        assert await assets.fetch(connection, []) == []


@pytest.mark.parametrize("unknown", ["z" * 12, "", "p12", "A" * 12, "a\0b", "'; DROP TABLE asset"])
async def test_an_unknown_id_is_reported(database: Database, unknown: str) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, A)
        with pytest.raises(UnknownAssetError) as raised:
            await assets.fetch(connection, [A, unknown])
        assert f"Unknown asset {unknown!r}." in str(raised.value)
        assert A not in str(raised.value)
        with pytest.raises(UnknownAssetError):
            await assets.thumbnail(connection, unknown)
        assert await assets.find(connection, [A, unknown]) == {
            A: await assets.fetch_one(connection, A)
        }


async def test_the_thumbnail_is_the_stored_jpeg(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, A)
        assert await assets.thumbnail(connection, A) == JPEG
