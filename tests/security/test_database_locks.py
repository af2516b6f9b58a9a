"""No login can stop the server by locks, and no wait takes what others need (findings 7, 26)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from sightline.server.database import schema_migration
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.row_locks import RowLock, lock
from sightline.storage.errors import LockTimeoutError, SchemaError, StorageError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.store.vector_indexes import VectorIndexMaintainer
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.deletion import delete_assets
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest
from tests.support.database_rows import add_asset
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill

ROOT = Path(__file__).parents[2]
ENCODER = ColorHistogramEncoder()
OPTIONS = IngestOptions(workers=1)
#: What the server locked before: one collection, one space, all spaces, blobs, roles, migrations.
ADVISORY_KEYS = (
    "0x51648, 1",
    "0x51647, 1",
    "0x51647, 0",
    "0x516470B1",
    "hashtext('sightline_roles')",
    "0x5164711E",
)


@pytest.fixture
async def analyst(database_dsn: str) -> AsyncIterator[psycopg.Connection[tuple[object, ...]]]:
    """A session of an analyst, who may take advisory locks as on an external Postgres."""
    dsn = await grant_analyst(database_dsn, "erin")
    with owner(database_dsn) as connection:
        connection.execute(
            "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(int, int) TO erin"
        )
    with psycopg.connect(dsn, autocommit=True) as session:
        yield session
    await revoke_analyst(database_dsn, "erin")


@contextmanager
def owner(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@contextmanager
def holding(dsn: str, name: str, strength: LiteralString = "UPDATE") -> Iterator[None]:
    """Hold a lock of the server as another process of it does."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sightline.lock (name) VALUES (%s) ON CONFLICT DO NOTHING", [name]
        )
        connection.commit()
        # Without parameters, as in migrations/env.py: an unnamed portal would keep its snapshot.
        query = sql.SQL("SELECT FROM sightline.lock WHERE name = {} FOR {}")
        connection.execute(query.format(name, sql.SQL(strength)))
        yield


async def until(dsn: str, condition: str) -> None:
    """Wait until a condition on the waiting sessions of the server holds."""
    query = (
        f"SELECT {condition} FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        while True:
            row = await (await connection.execute(query.encode())).fetchone()
            if row is not None and row[0]:
                return


@asynccontextmanager
async def opened(dsn: str, **options: float) -> AsyncIterator[Database]:
    database = await Database.open(dsn, **options)  # type: ignore[arg-type]
    try:
        yield database
    finally:
        await database.close()


async def add_images(database: Database, blobs: BlobStore, folder: Path) -> int:
    return (
        await ingest(database, blobs, ENCODER, [folder], collection="album", options=OPTIONS)
    ).added


async def test_advisory_locks_of_an_analyst_stop_nothing(
    analyst: psycopg.Connection[tuple[object, ...]], database_dsn: str, tmp_path: Path
) -> None:
    for key in ADVISORY_KEYS:
        analyst.execute(f"SELECT pg_advisory_lock({key})".encode())
    fill(tmp_path / "a", 3)
    blobs = BlobStore(tmp_path / "data")
    async with opened(database_dsn, statement_timeout_seconds=5, lock_timeout_seconds=1) as server:
        assert await add_images(server, blobs, tmp_path / "a") == 3
        search = ImageSearch(server, ENCODER, None, signing_key=b"k")
        hits = (await search.search(ImageRequest(query="red", limit=3))).hits
        assert len(hits) == 3
        assert (await delete_assets(server, blobs, [hits[0].asset.id])).assets == 1
        async with server.connection() as connection:
            (space,) = await embedding_spaces.list_spaces(connection)
            await embedding_spaces.drop_index(connection, space)
            await embedding_spaces.ensure_index(connection, space)
            await connection.execute("SELECT sightline.ensure_roles()")
    schema_migration.upgrade(database_dsn, lock_timeout_seconds=1)


def test_the_server_takes_no_advisory_lock() -> None:
    files = [
        path
        for package in ("storage", "server", "tools", "migrations")
        for suffix in ("*.py", "*.sql")
        for path in (ROOT / package).rglob(suffix)
        if path.name not in ("sql_guard.py", "configuration.py")
    ]
    assert len(files) > 100
    taking = [p for p in files if "pg_advisory" in p.read_text() or "try_advisory" in p.read_text()]
    assert [p for p in taking if "REVOKE" not in p.read_text()] == []


async def test_nobody_else_can_take_a_lock_of_the_server(
    analyst: psycopg.Connection[tuple[object, ...]], database: Database
) -> None:
    analyst.execute("SET default_transaction_read_only = off")
    statements = (
        "SELECT FROM sightline.lock FOR UPDATE",
        "SELECT FROM sightline.lock FOR KEY SHARE",
        "DO 'BEGIN LOCK TABLE sightline.lock IN ACCESS SHARE MODE; END'",
        "INSERT INTO sightline.lock VALUES ('collection:1')",
        "DELETE FROM sightline.lock",
    )
    for statement in statements:
        with pytest.raises(errors.InsufficientPrivilege):
            analyst.execute(statement.encode())
        with as_principal("alice"), pytest.raises(StorageError, match="denied"):
            async with database.connection() as connection:
                await connection.execute(statement.encode())


async def test_reads_find_a_connection_while_deletions_wait(
    database_dsn: str, tmp_path: Path
) -> None:
    """14 deletions during a backup left no connection of 8 for a search."""
    ids = [f"asset{number:07}" for number in range(14)]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            opened(database_dsn, max_connections=8, acquire_timeout_seconds=5)
        )
        async with server.connection() as connection:
            album = await collections.ensure(connection, "album")
            for id_ in ids:
                await add_asset(connection, album, id_)
        blobs = BlobStore(tmp_path)
        with holding(database_dsn, "blobs", "SHARE"):
            deleting = [asyncio.create_task(delete_assets(server, blobs, [id_])) for id_ in ids]
            await until(database_dsn, "count(*) = 4")
            async with AsyncExitStack() as reads:
                for _ in range(4):
                    reading = await reads.enter_async_context(server.connection())
                    assert await collections.names(reading) == ["album"]
            for task in deleting:
                task.cancel()
            await asyncio.gather(*deleting, return_exceptions=True)
        async with server.connection() as connection:
            assert await collections.names(connection) == ["album"]


async def test_deletions_succeed_while_a_backup_holds_the_files(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = BlobStore(tmp_path)
    location = blobs.put(b"a picture")
    monkeypatch.setattr(
        "sightline.storage.records.deletion._BLOB_LOCK", RowLock("blobs", "the stored files", 0.05)
    )
    async with opened(database_dsn) as server:
        async with server.connection() as connection:
            album = await collections.ensure(connection, "album")
            await add_asset(connection, album, "a" * 12, location=location)
        with holding(database_dsn, "blobs", "SHARE"):
            result = await delete_assets(server, blobs, ["a" * 12])
    assert (result.assets, result.blobs) == (1, 0)
    assert blobs.exists(location)


async def test_a_wait_ends_by_the_lock_timeout_and_not_by_the_statement_timeout(
    database_dsn: str,
) -> None:
    album = RowLock("collection:1", "the collection 'album'", timeout_seconds=0.4)
    async with opened(database_dsn, statement_timeout_seconds=0.1) as server:
        with (
            holding(database_dsn, album.name),
            pytest.raises(LockTimeoutError, match=r"kept the collection 'album' locked for 0\.4 s"),
        ):
            async with server.connection() as connection:
                await lock(connection, album)
        async with server.connection() as connection:
            await lock(connection, album)
            for name, value in (("statement_timeout", "100ms"), ("lock_timeout", "10s")):
                cursor = await connection.execute(f"SHOW {name}".encode())
                assert await cursor.fetchone() == (value,)
            with pytest.raises(errors.QueryCanceled):
                await connection.execute("SELECT pg_sleep(60)")


async def test_a_writer_waits_longer_than_the_statement_timeout(
    database_dsn: str, tmp_path: Path
) -> None:
    """It failed after this timeout while an index was built."""
    fill(tmp_path / "a", 1)
    blobs = BlobStore(tmp_path / "data")
    async with opened(database_dsn, statement_timeout_seconds=0.5) as server:
        async with server.connection() as connection:
            album = await collections.ensure(connection, "album")
        with holding(database_dsn, f"collection:{album.id}"):
            adding = asyncio.create_task(add_images(server, blobs, tmp_path / "a"))
            await until(database_dsn, "max(now() - query_start) > '0.6s'")
        assert await adding == 1


async def test_every_statement_has_a_lock_timeout(database_dsn: str) -> None:
    async with opened(database_dsn, lock_timeout_seconds=0.05) as server:
        async with server.connection() as connection:
            album = await collections.ensure(connection, "album")
        with psycopg.connect(database_dsn) as other:
            other.execute("SELECT FROM sightline.collection FOR UPDATE")
            with pytest.raises(LockTimeoutError, match=r"kept locked what this one needs.*again"):
                async with server.write_connection() as connection:
                    await collections.update_settings(connection, album, {"ocr": "off"})


async def test_an_analyst_who_reads_does_not_stop_searches_behind_an_index_drop(
    analyst: psycopg.Connection[tuple[object, ...]], database: Database
) -> None:
    """A drop waits for all readers, and later readers queue behind it."""
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, ENCODER.identity, "asset")
    analyst.execute("BEGIN")
    analyst.execute("SELECT count(*) FROM embeddings")
    load = VectorIndexMaintainer(database, space, IngestOptions(bulk_rows=0))
    await load.start()
    load.add_expected(1000)
    await load.drop_if_large(1.0)  # its wait has a limit of one second
    async with database.connection() as connection:
        assert await embedding_spaces.has_index(connection, space)


def test_a_waiting_migration_names_the_holder_of_the_lock(database_dsn: str) -> None:
    with (
        holding(database_dsn, "migration"),
        pytest.raises(SchemaError, match=r"Another migration .* \(process \d+ of sightline\)"),
    ):
        schema_migration.upgrade(database_dsn, lock_timeout_seconds=0)
    schema_migration.upgrade(database_dsn, lock_timeout_seconds=0)


async def test_a_migration_does_not_wait_for_an_analyst_for_ever(
    analyst: psycopg.Connection[tuple[object, ...]], database_dsn: str
) -> None:
    analyst.execute("BEGIN")
    analyst.execute("SELECT count(*) FROM assets")
    with pytest.raises(LockTimeoutError, match="another session keeps a table locked"):
        schema_migration.downgrade(database_dsn, "base", lock_timeout_seconds=0.2)
    schema_migration.require_head(database_dsn)


def test_the_lock_of_migrations_does_not_block_a_concurrent_index(database_dsn: str) -> None:
    with holding(database_dsn, "migration"), owner(database_dsn) as connection:
        connection.execute("SET lock_timeout = '2s'")
        connection.execute("CREATE INDEX CONCURRENTLY ON sightline.asset (width)")
