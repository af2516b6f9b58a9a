from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from pgvector import HalfVector
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.db import pool
from sightline.storage.db.pool import Database
from sightline.storage.errors import DatabaseUnavailableError, SchemaError, StorageError
from sightline.storage.postgres import EmbeddedPostgres, pidfile


async def one(database: Database, query: bytes) -> object:
    async with database.connection() as connection:
        (row,) = await (await connection.execute(query)).fetchall()
    return row[0]


async def test_half_vectors_are_sent_and_received(database: Database) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT %b::halfvec, vector_dims(%b)", [HalfVector([1, 2.5])] * 2
        )
        row = await cursor.fetchone()
    assert row is not None
    assert row[0].to_list() == [1, 2.5]
    assert row[1] == 2


async def test_a_connection_block_is_one_transaction(database: Database) -> None:
    async def half_done() -> None:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO collection (name) VALUES ('a')")
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(StorageError, match="division by zero"):
        await half_done()
    assert await one(database, b"SELECT count(*) FROM collection") == 0


async def test_with_autocommit_each_statement_is_a_transaction(database: Database) -> None:
    async def half_done() -> None:
        async with database.connection(autocommit=True) as connection:
            await connection.execute("INSERT INTO collection (name) VALUES ('a')")
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(StorageError, match="division by zero"):
        await half_done()
    assert await one(database, b"SELECT count(*) FROM collection") == 1


async def test_other_errors_are_not_wrapped(database: Database) -> None:
    async def fail() -> None:
        async with database.connection():
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        await fail()


async def test_connections_are_configured_for_vector_search(database: Database) -> None:
    path = '"pg_catalog", "sightline", "sightline_vector", "pg_temp"'
    assert await one(database, b"SHOW search_path") == path
    assert await one(database, b"SHOW lock_timeout") == "10s"
    assert await one(database, b"SHOW hnsw.ef_search") == "200"
    assert await one(database, b"SHOW hnsw.iterative_scan") == "relaxed_order"
    assert await one(database, b"SHOW jit") == "off"


async def test_a_slow_statement_is_canceled(database_dsn: str) -> None:
    database = await Database.open(database_dsn, statement_timeout_seconds=0.1)
    with pytest.raises(StorageError, match="statement timeout"):
        await one(database, b"SELECT pg_sleep(60)")
    assert await one(database, b"SELECT 1") == 1
    await database.close()


def test_the_loop_ends_if_an_error_skips_close(database_dsn: str) -> None:
    async def forget() -> None:
        await Database.open(database_dsn)
        raise RuntimeError("forgotten")

    with pytest.raises(RuntimeError, match="forgotten"):
        asyncio.run(forget())


async def test_a_busy_pool_is_reported(database_dsn: str) -> None:
    database = await Database.open(database_dsn, max_connections=1, acquire_timeout_seconds=2)
    async with database.connection():
        with pytest.raises(DatabaseUnavailableError, match=r"All 1 .* busy for 2 s"):
            await one(database, b"SELECT 1")
    assert await one(database, b"SELECT 1") == 1
    await database.close()


async def test_too_many_waiting_calls_are_reported(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MAX_WAITING", 1)
    database = await Database.open(database_dsn, max_connections=1)
    async with database.connection():
        waiting = asyncio.create_task(one(database, b"SELECT 1"))
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailableError, match="1 of your calls already wait"):
            await one(database, b"SELECT 1")
    assert await waiting == 1
    await database.close()


async def test_callers_in_a_long_queue_do_not_probe_the_database(
    database_dsn: str, tmp_path: Path
) -> None:
    lines: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while read := await reader.read(65536):
            writer.write(read)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(lines) == 4:  # what `open` asks once, and one pooled connection; no more
            writer.close()
            return
        given = conninfo_to_dict(database_dsn)
        theirs = await asyncio.open_unix_connection(f"{given['host']}/.s.PGSQL.{given['port']}")
        lines.append(asyncio.create_task(pass_on(reader, theirs[1])))
        lines.append(asyncio.create_task(pass_on(theirs[0], writer)))

    door = await asyncio.start_unix_server(connect, tmp_path / ".s.PGSQL.5432")
    database = await Database.open(make_conninfo(database_dsn, host=str(tmp_path), port=5432))
    # The last waits for seconds, and somebody is served all the time.
    await asyncio.gather(*(one(database, b"SELECT pg_sleep(0.05)") for _ in range(40)))
    await database.close()
    await asyncio.gather(*lines)
    door.close()
    await door.wait_closed()


async def test_a_canceled_caller_releases_its_connection(database_dsn: str) -> None:
    database = await Database.open(database_dsn, max_connections=1)
    started = asyncio.Event()

    async def wait() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")  # or the first to be cancelled is BEGIN
            started.set()
            await connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await one(database, b"SELECT 1") == 1
    await database.close()


async def test_a_closed_database_is_reported(database_dsn: str) -> None:
    database = await Database.open(database_dsn)
    await database.close()
    with pytest.raises(DatabaseUnavailableError, match="closed"):
        await one(database, b"SELECT 1")


async def test_a_database_without_schema_error_names_the_command(empty_dsn: str) -> None:
    with pytest.raises(SchemaError, match="sightline migrate"):
        await Database.open(empty_dsn)


async def test_old_pgvector_is_refused(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    with pytest.raises(SchemaError, match=r"pgvector is 0\.7\.4 .* needs 0\.8 or newer"):
        await Database.open(database_dsn)


async def test_a_wrong_address_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached") as caught:
        await Database.open(f"host={tmp_path} dbname=x")
    assert str(tmp_path) not in str(caught.value)
    assert "No such file or directory" in caught.value.details


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        schema_migration.upgrade(server.dsn())
        yield server


@pytest.fixture
async def lost(own_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Database]:
    """A database in use, whose server was killed."""
    database = await Database.open(own_server.dsn(), min_connections=3)
    assert await one(database, b"SELECT 1") == 1
    await kill(tmp_path)
    yield database
    await database.close()


async def kill(folder: Path) -> None:
    data = folder / "postgres" / "data"
    found = pidfile.find(data)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    await asyncio.to_thread(pidfile.kill_orphans, data)


async def test_a_crashed_database_is_reported_until_it_returns(
    lost: Database, own_server: EmbeddedPostgres
) -> None:
    for _ in range(4):
        with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
            await one(lost, b"SELECT 1")
    own_server.ensure_running()
    assert await asyncio.gather(*(one(lost, b"SELECT 1") for _ in range(20))) == [1] * 20


async def test_a_broken_connection_is_reported(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    database = await Database.open(own_server.dsn())

    async def cut_off() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            await kill(tmp_path)
            await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        await cut_off()
    own_server.ensure_running()
    assert await one(database, b"SELECT 1") == 1
    await database.close()


async def test_a_crashed_embedded_server_is_restarted_for_the_caller(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    database = await Database.open(own_server.dsn(), restart=own_server.ensure_running)
    await kill(tmp_path)
    assert await asyncio.gather(*(one(database, b"SELECT 1") for _ in range(8))) == [1] * 8
    await database.close()


async def test_a_terminated_idle_connection_is_replaced(
    database: Database, postgres_dsn: str
) -> None:
    pid = await one(database, b"SELECT pg_backend_pid()")
    with psycopg.connect(postgres_dsn) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    assert await one(database, b"SELECT pg_backend_pid()") != pid
