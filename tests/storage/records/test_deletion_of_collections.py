"""Deletion of sources and of whole collections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.db.row_locks import lock
from sightline.storage.errors import InvalidArgumentError, LockTimeoutError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import collections, deletion, embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import (
    DeletionResult,
    collection_lock,
    delete_assets,
    delete_collection,
    delete_sources,
)
from sightline.storage.records.deletion_preview import (
    DeletionPreview,
    preview_collection,
    preview_sources,
)
from tests.support.database_rows import add_asset, add_passage, add_source, add_vector

SMALL = EncoderIdentity("small", "aa" * 8, "cc" * 8, 2)
TABLES = ("source", "asset", "thumbnail", "passage", "posting", "embedding", "annotation")


async def rows(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        counted = {}
        for table in TABLES:
            cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
            ((counted[table],),) = await cursor.fetchall()
        return counted


async def add_picture(
    connection: Connection, collection: Collection, name: str, id_: str, **over: Any
) -> int:
    """A source with an asset, a passage, a vector and an annotation."""
    source = await add_source(connection, collection, name, **over)
    await add_asset(connection, collection, id_, source_id=source, **over)
    await add_passage(connection, collection, source, "red apple", id_)
    space = await embedding_spaces.get_or_create(connection, SMALL, "asset")
    await add_vector(connection, collection, space, [1, 0], asset_id=id_)
    await connection.execute(
        "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin) "
        "VALUES (%s, 'apple', 0, 0, 1, 1, 'person')",
        [id_],
    )
    return source


async def fill(database: Database, name: str, count: int) -> list[int]:
    """Fill a collection with pictures; returns the ids of their sources."""
    async with database.connection() as connection:
        collection = await collections.ensure(connection, name)
        return [
            await add_picture(connection, collection, f"{name}/{number}.jpg", f"{name}{number:07}")
            for number in range(count)
        ]


async def names(database: Database) -> list[str]:
    async with database.connection() as connection:
        return await collections.names(connection)


async def test_a_source_without_assets_is_deleted_by_its_name(
    database: Database, tmp_path: Path
) -> None:
    await fill(database, "album", 1)
    before = await rows(database)
    async with database.connection() as connection:
        album = await collections.get(connection, "album")
        source = await add_source(connection, album, "notes.txt", kind="text")
        for text in ("first part", "second part"):
            await add_passage(connection, album, source, text)
    result = await delete_sources(database, BlobStore(tmp_path), "album", names=["notes.txt"])
    assert result == DeletionResult(assets=0, sources=1, passages=2, annotations=0, blobs=0)
    assert await rows(database) == before


async def test_a_source_is_deleted_with_all_that_was_made_from_it(
    database: Database, tmp_path: Path
) -> None:
    first, _ = await fill(database, "album", 2)
    preview = await preview_sources(database, "album", ids=[first])
    assert preview == DeletionPreview(
        assets=1,
        sources=1,
        passages=1,
        annotations=1,
        collection="album",
        names=("album/0.jpg",),
    )
    assert (await rows(database))["source"] == 2
    result = await delete_sources(database, BlobStore(tmp_path), "album", ids=[first, first])
    assert result == DeletionResult(assets=1, sources=1, passages=1, annotations=1, blobs=0)
    assert set((await rows(database)).values()) == {1, 2}  # two postings of one passage


async def test_all_sources_of_a_name_are_deleted(database: Database, tmp_path: Path) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        for number in range(2):
            await add_source(connection, album, "a.txt", content_key=bytes([number]) * 32)
    result = await delete_sources(database, BlobStore(tmp_path), "album", names=["a.txt"])
    assert result.sources == 2


@pytest.mark.parametrize(
    ("wanted", "ids", "message"),
    [
        (["album/0.jpg", "album/7.jpg"], [], r"source 'album/7\.jpg'.*sources include .*/0\.jpg'"),
        (["elsewhere/1.jpg"], [], r"Its sources include .*'album/1\.jpg'"),
        (["zzz\0"], [], r"Its sources include 'album/0\.jpg'"),
        ([], [17], r"Unknown source id '17' in the collection 'album'"),
        ([], [], "Give names or ids"),
    ],
)
async def test_nothing_is_deleted_if_one_source_is_unknown(
    database: Database, tmp_path: Path, wanted: Sequence[str], ids: Sequence[int], message: str
) -> None:
    await fill(database, "album", 2)
    with pytest.raises(InvalidArgumentError, match=message):
        await delete_sources(database, BlobStore(tmp_path), "album", names=wanted, ids=ids)
    with pytest.raises(InvalidArgumentError, match=message):
        await preview_sources(database, "album", names=wanted, ids=ids)
    assert (await rows(database))["source"] == 2


async def test_a_source_of_another_collection_is_unknown(
    database: Database, tmp_path: Path
) -> None:
    await fill(database, "album", 1)
    (other,) = await fill(database, "other", 1)
    with pytest.raises(InvalidArgumentError, match="Unknown source id"):
        await delete_sources(database, BlobStore(tmp_path), "album", ids=[other])


async def test_a_collection_is_deleted_with_everything_in_it(
    database: Database, tmp_path: Path
) -> None:
    await fill(database, "other", 2)
    before = await rows(database)
    await fill(database, "album", 3)
    async with database.connection() as connection:
        await row_security.bind(connection, "laptop", ["album", "other"])
    preview = await preview_collection(database, "album")
    assert preview == DeletionPreview(
        assets=3, sources=3, passages=3, annotations=3, collection="album"
    )
    result = await delete_collection(database, BlobStore(tmp_path), "album")
    assert result == DeletionResult(assets=3, sources=3, passages=3, annotations=3, blobs=0)
    assert await names(database) == ["other"]
    assert await rows(database) == before
    async with database.connection() as connection:
        assert await row_security.bindings(connection) == {"laptop": ["other"]}
        # The name is free, and so are the ids of the assets.
    assert len(await fill(database, "album", 3)) == 3


async def test_an_unknown_collection_is_named_with_the_existing_ones(
    database: Database, tmp_path: Path
) -> None:
    await fill(database, "album", 1)
    for unknown in (
        delete_collection(database, BlobStore(tmp_path), "albun"),
        delete_sources(database, BlobStore(tmp_path), "albun", names=["x"]),
    ):
        with pytest.raises(UnknownNameError, match=r"Unknown collection 'albun'.*'album'"):
            await unknown


async def test_a_blob_stays_while_another_collection_uses_it(
    database: Database, tmp_path: Path
) -> None:
    store = BlobStore(tmp_path)
    shared, own = store.put(b"a picture"), store.put(b"another")
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        other = await collections.ensure(connection, "other")
        await add_picture(connection, album, "a.png", "a" * 12, location=shared)
        await add_picture(connection, album, "b.png", "b" * 12, location=own)
        await add_picture(connection, other, "a.png", "c" * 12, location=shared)
        await row_security.bind(connection, "laptop", ["album"])
    with as_principal("laptop"):  # cannot see the other collection
        assert (await delete_collection(database, store, "album")).blobs == 1
    assert store.exists(shared)
    assert not store.exists(own)
    assert (await delete_sources(database, store, "other", names=["a.png"])).blobs == 1
    assert not store.exists(shared)


async def test_a_principal_deletes_only_in_its_collections(
    database: Database, tmp_path: Path
) -> None:
    store = BlobStore(tmp_path)
    await fill(database, "album", 2)
    (other,) = await fill(database, "other", 1)
    async with database.connection() as connection:
        await row_security.bind(connection, "laptop", ["album"])
    with as_principal("laptop"):
        for refused in (
            delete_collection(database, store, "other"),
            delete_sources(database, store, "other", ids=[other]),
            preview_collection(database, "other"),
        ):
            with pytest.raises(UnknownNameError, match=r"Available: 'album'\."):
                await refused
        with pytest.raises(InvalidArgumentError, match="Unknown source id"):
            await delete_sources(database, store, "album", ids=[other])
        assert (await delete_sources(database, store, "album", names=["album/0.jpg"])).assets == 1
        assert (await delete_collection(database, store, "album")).sources == 1
    assert await names(database) == ["other"]


async def test_an_interrupted_deletion_leaves_whole_sources_and_continues(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_BATCH_SOURCES", 2)
    store = BlobStore(tmp_path)
    await fill(database, "album", 5)

    def stop(done: int, total: int) -> None:
        assert (done, total) == (2, 5)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await delete_collection(database, store, "album", progress=stop)
    left = await rows(database)
    assert left["posting"] == 6
    assert {count for table, count in left.items() if table != "posting"} == {3}
    reports: list[tuple[int, int]] = []
    result = await delete_collection(
        database, store, "album", progress=lambda done, total: reports.append((done, total))
    )
    assert result.sources == 3
    assert reports[-1] == (3, 3)
    assert await names(database) == []


async def test_a_batch_is_limited_by_its_rows(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_BATCH_ROWS", 3)
    await fill(database, "album", 5)  # of two rows each, an asset and a passage
    reports: list[int] = []
    await delete_collection(
        database, BlobStore(tmp_path), "album", progress=lambda done, _: reports.append(done)
    )
    assert reports[:3] == [2, 4, 5]


async def test_a_deletion_waits_for_the_writer_of_an_ingest(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_TURN_SECONDS", 0.05)
    await fill(database, "album", 1)
    store = BlobStore(tmp_path)
    async with database.connection() as connection:
        album = await collections.get(connection, "album")
        await lock(connection, collection_lock(album.id, "album", 1))
        with pytest.raises(LockTimeoutError, match=r"collection 'album' locked.*Nothing was"):
            await delete_collection(database, store, "album")
        with pytest.raises(LockTimeoutError, match=r"collection 'album' locked.*Nothing was"):
            await delete_sources(database, store, "album", names=["album/0.jpg"])
    assert (await delete_collection(database, store, "album")).sources == 1


async def test_of_many_collections_the_similar_ones_are_named(
    database: Database, tmp_path: Path
) -> None:
    async with database.connection() as connection:
        for number in range(30):
            await collections.ensure(connection, f"lot-{number:02}")
        await collections.ensure(connection, "receipts")
    with pytest.raises(UnknownNameError, match=r"'reciepts'\. Similar: 'receipts'\. Available:"):
        await delete_collection(database, BlobStore(tmp_path), "reciepts")


async def test_assets_are_deleted_in_turn_with_an_ingest(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_TURN_SECONDS", 0.2)
    await fill(database, "album", 1)
    await fill(database, "other", 1)
    assets = ["album0000000", "other0000000"]
    async with database.connection() as connection:
        other = await collections.get(connection, "other")
        await lock(connection, collection_lock(other.id, other.name, 1))
        with pytest.raises(LockTimeoutError, match=r"the collection 'other' locked for .*again"):
            await delete_assets(database, BlobStore(tmp_path), assets)
    assert (await rows(database))["asset"] == 2
    assert (await delete_assets(database, BlobStore(tmp_path), assets)).assets == 2


async def test_content_that_changed_after_its_confirmation_is_not_deleted(
    database: Database, tmp_path: Path
) -> None:
    """Another asset with the same name and the same counts takes the place of the first."""
    store = BlobStore(tmp_path)
    await fill(database, "album", 2)
    whole = await preview_collection(database, "album")
    source = await preview_sources(database, "album", names=["album/0.jpg"])
    assert (
        source.content == (await preview_sources(database, "album", names=["album/0.jpg"])).content
    )
    await delete_assets(database, store, ["album0000000"])
    async with database.connection() as connection:
        album = await collections.get(connection, "album")
        await add_picture(connection, album, "album/0.jpg", "b" * 12)
    assert whole == await preview_collection(database, "album")  # the counts are the same
    for changed in (
        delete_sources(database, store, "album", names=["album/0.jpg"], confirmed=source),
        delete_collection(database, store, "album", confirmed=whole),
    ):
        with pytest.raises(InvalidArgumentError, match=r"'album' changed .* Nothing was deleted"):
            await changed
    assert (await rows(database))["asset"] == 2
    whole = await preview_collection(database, "album")
    assert (await delete_collection(database, store, "album", confirmed=whole)).assets == 2
