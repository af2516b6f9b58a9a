"""Fixtures: one Postgres per session and a fresh database per test."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres

_TEMPLATE = "template_sightline"
#: Hits with equal scores have the order of their ids, which depends on the key.
_ID_KEY = hashlib.sha256(b"2").digest()
#: Containers often have 64 MB.
_MIN_MEMORY_BYTES = 2 * 2**30
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Start the server without fsync, because its data is temporary."""
    # Not pytest's folder: pytest keeps the folders of three runs.
    with (
        tempfile.TemporaryDirectory(prefix="sightline-tests-", dir=_memory_folder()) as folder,
        EmbeddedPostgres(Path(folder), durable=False) as server,
    ):
        yield server


def _memory_folder() -> Path | None:
    """Return a folder in memory: a database is created there five times as fast."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free >= _MIN_MEMORY_BYTES
    return memory if has_room and os.access(memory, os.W_OK) else None


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: EmbeddedPostgres) -> str:
    """Return the DSN of the maintenance database, for CREATE DATABASE only."""
    return postgres_server.dsn("postgres")


@pytest.fixture(scope="session")
def _template(postgres_dsn: str) -> str:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    template = make_conninfo(postgres_dsn, dbname=_TEMPLATE)
    schema_migration.upgrade(template)
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute("UPDATE sightline.id_key SET key = %s", [_ID_KEY])
    return _TEMPLATE


@pytest.fixture
def empty_dsn(postgres_dsn: str) -> Iterator[str]:
    """Return the DSN of an empty database; drop it after the test."""
    yield from _database(postgres_dsn, "template1")


@pytest.fixture
def database_dsn(postgres_dsn: str, _template: str) -> Iterator[str]:
    """Return the DSN of a migrated database without rows; drop it after the test."""
    yield from _database(postgres_dsn, _template)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """Open a migrated database without rows."""
    opened = await Database.open(database_dsn)
    yield opened
    await opened.close()


def _database(postgres_dsn: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    yield make_conninfo(postgres_dsn, dbname=name)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))
