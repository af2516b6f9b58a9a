"""Metadata keys of one principal take neither the statistics nor the connections of others."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import DatabaseUnavailableError
from sightline.storage.ingest.discover.sidecars import parse_sidecar
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.isolation.caller import as_caller
from sightline.storage.records import collections
from sightline.storage.records.deletion import delete_assets
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest
from tests.support.database_rows import add_asset
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill

ENCODER = ColorHistogramEncoder()
ASSETS, KEYS = 200, 200


async def test_the_keys_of_many_assets_are_grouped_once(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, "a" * 12, metadata={"shop": "Aldi"})
        for number in range(ASSETS):
            metadata = {f"{number}.{key}": key for key in range(KEYS - 1)} | {"shop": number}
            await add_asset(connection, album, f"{number:012}", metadata=metadata)
        # With a scan of the sample for each key, it took the 30 s of the statement timeout.
        (overview,) = await collections.list_overviews(connection)
        assert await (await connection.execute("SHOW statement_timeout")).fetchone() == ("30s",)
    assert overview.metadata_keys is not None
    assert overview.found_metadata_keys == ASSETS * (KEYS - 1) + 1
    assert len(overview.metadata_keys) == 400
    first = overview.metadata_keys[0]
    assert (first.key, first.type, first.assets) == ("shop", "mixed", ASSETS + 1)


async def test_a_slow_sample_costs_the_keys_but_not_the_list(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(collections._SQL, "metadata_keys", b"SELECT pg_sleep(600)")
    monkeypatch.setattr(collections, "_METADATA_KEYS_TIMEOUT", "10ms")
    async with database.connection() as connection:
        await collections.ensure(connection, "album")
        (overview,) = await collections.list_overviews(connection)
    assert (overview.name, overview.metadata_keys) == ("album", None)


async def test_a_large_collection_is_sampled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "_MAX_SAMPLED_ASSETS", 4)
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        for number in range(10):
            await add_asset(connection, album, f"{number:012}", metadata={"shop": number})
        (overview,) = await collections.list_overviews(connection)
    assert overview.metadata_keys is not None
    (key,) = overview.metadata_keys
    assert (key.assets, set(key.examples)) == (10, {"0", "1", "2", "3"})


def test_an_asset_has_a_limited_number_of_keys() -> None:
    limit = {str(number): 1 for number in range(200)}
    assert parse_sidecar("a.json", json.dumps(limit).encode()).metadata == limit
    with pytest.raises(ValueError, match="has 201 metadata keys; the limit is 200"):
        parse_sidecar("a.json", json.dumps(limit | {"one more": 1}).encode())


@pytest.mark.parametrize("kind", ["connection", "write_connection"])
async def test_one_caller_cannot_hold_all_connections(database_dsn: str, kind: str) -> None:
    database = await Database.open(database_dsn, max_connections=8, acquire_timeout_seconds=0.1)
    acquire = getattr(database, kind)
    async with AsyncExitStack() as stack:
        with as_caller("alice"):
            for _ in range(4 if kind == "connection" else 2):
                await stack.enter_async_context(acquire())
            with pytest.raises(DatabaseUnavailableError, match="the half of them"):
                await stack.enter_async_context(acquire())
        for other in ("bob", None):
            with as_caller(other):
                async with acquire() as connection:
                    await connection.execute("SELECT 1")
    await database.close()


async def test_a_caller_that_waits_lets_others_pass(database_dsn: str) -> None:
    database = await Database.open(database_dsn, max_connections=2)
    started, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.connection():
            started.set()
            await done.wait()

    with as_caller("alice"):
        calls = [asyncio.create_task(hold()) for _ in range(16)]
    await started.wait()
    with as_caller("bob"):
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
    assert database.statistics()["requests_waiting"] == 15
    done.set()
    await asyncio.gather(*calls)
    assert database.statistics()["requests_waiting"] == 0
    await database.close()


async def test_no_call_needs_two_connections_at_a_time(database_dsn: str, tmp_path: Path) -> None:
    database = await Database.open(database_dsn, max_connections=1, acquire_timeout_seconds=5)
    blobs = BlobStore(tmp_path / "data")
    with as_caller("alice"):
        summary = await ingest(
            database,
            blobs,
            ENCODER,
            [fill(tmp_path / "a", 3)[0].parent],
            collection="album",
            options=IngestOptions(workers=1),
        )
        assert summary.added == 3
        search = ImageSearch(database, ENCODER, None, signing_key=b"k")
        hits = (await search.search(ImageRequest(query="red", limit=3))).hits
        assert (await delete_assets(database, blobs, [hits[0].asset.id])).assets == 1
    await database.close()
