from __future__ import annotations

from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_asset, add_passage, add_source, add_vector

A = "a" * 12
SMALL = EncoderIdentity("small", "aa" * 8, "cc" * 8, 2)


@pytest.fixture
async def objects(database: Database, tmp_path: Path) -> BlobStore:
    """The store of a database with one picture, its caption and its vectors, all as it must be."""
    store = BlobStore(tmp_path)
    location = store.put(b"a picture")
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        source = await add_source(connection, album, "a.jpg", location=location)
        await add_asset(connection, album, A, source_id=source, location=location)
        passage = await add_passage(connection, album, source, "red apple", A)
        for level, asset, passage_id in (("asset", A, None), ("passage", None, passage)):
            space = await embedding_spaces.get_or_create(connection, SMALL, level)  # type: ignore[arg-type]
            await embedding_spaces.assign(connection, album.id, space)
            await add_vector(connection, album, space, [1, 0], asset, passage_id)
    return store


async def codes(database: Database, objects: BlobStore) -> dict[str, int]:
    return {finding.code: finding.count for finding in await check(database, objects)}


async def test_an_intact_database_has_no_findings(database: Database, objects: BlobStore) -> None:
    assert await check(database, objects) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (b"DELETE FROM embedding WHERE asset_id IS NOT NULL", {"asset_without_vector"}),
        (b"DELETE FROM embedding WHERE passage_id IS NOT NULL", {"passage_without_vector"}),
        (b"DELETE FROM thumbnail", {"asset_without_thumbnail"}),
        (b"DELETE FROM posting", {"passage_without_postings"}),
        (
            b"DELETE FROM collection_embedding_space WHERE level = 'asset'",
            {"vector_in_an_unused_space", "unused_space"},
        ),
        (b"DROP INDEX embedding_1_hnsw", {"space_without_index"}),
        (
            b"ALTER TABLE embedding DETACH PARTITION embedding_1",
            {"asset_without_vector", "space_without_partition"},
        ),
        (b"DELETE FROM asset", {"source_without_content"}),
        (b"DELETE FROM source", {"blob_unreferenced"}),
        (
            b"""
            WITH other AS (INSERT INTO collection (name) VALUES ('other') RETURNING id)
            UPDATE asset SET collection_id = (SELECT id FROM other)
            """,
            {"vector_of_another_collection"},
        ),
        (
            b"""
            ALTER TABLE posting DISABLE TRIGGER ALL;
            ALTER TABLE passage DISABLE TRIGGER ALL;
            DELETE FROM embedding WHERE passage_id IS NOT NULL;
            DELETE FROM passage;
            """,
            {"posting_without_passage"},
        ),
    ],
)
async def test_damage_is_found(
    database: Database, objects: BlobStore, damage: bytes, found: set[str]
) -> None:
    async with database.connection() as connection:
        await connection.execute(damage)
    assert set(await codes(database, objects)) == found


async def test_missing_blobs_and_missing_files_are_different_findings(
    database: Database, objects: BlobStore, tmp_path: Path
) -> None:
    objects.discard(list(objects.locations()))
    async with database.connection() as connection:
        album = await collections.get(connection, "album")
        picture = tmp_path / "b.jpg"
        source = await add_source(connection, album, "b.jpg", location=f"file:{picture}")
        passage = await add_passage(connection, album, source, "text")
        await connection.execute(
            "INSERT INTO embedding (embedding_space_id, collection_id, passage_id, embedding) "
            "VALUES (2, %s, %s, '[1,0]')",
            [album.id, passage],
        )
    assert await codes(database, objects) == {"blob_missing": 1, "file_missing": 1}
    picture.write_bytes(b"")
    (finding,) = await check(database, objects)
    assert (finding.code, finding.severity) == ("blob_missing", "error")
    assert finding.examples in {(A,), ("a.jpg",)}


async def test_an_unreferenced_blob_is_a_warning(database: Database, objects: BlobStore) -> None:
    location = objects.put(b"left over")
    (finding,) = await check(database, objects)
    assert (finding.code, finding.severity) == ("blob_unreferenced", "warning")
    assert finding.examples == (location,)
