"""Fixtures: one Postgres per session and a fresh database per test.

With ``SIGHTLINE_TEST_ROLE=createrole`` a role that may create roles, but is no superuser, owns the
databases, as on a managed service. Tests that need a superuser fail then; those of storage and of
tenants need none.
"""

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
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from tests.support import ordinary_role

_TEMPLATE = "template_sightline"
_OWNED_TEMPLATE = "template_with_pgvector"
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
def owner_dsn(postgres_dsn: str) -> str:
    """Return the DSN of the owner of all databases of tests, with any database."""
    if not ordinary_role.is_requested():
        return postgres_dsn
    ordinary_role.create_owner(postgres_dsn)
    owned = ordinary_role.create_owned_database(postgres_dsn, _OWNED_TEMPLATE)
    return make_conninfo(owned, dbname="postgres")


@pytest.fixture(scope="session")
def _empty_template(postgres_dsn: str, owner_dsn: str) -> str:
    return "template1" if owner_dsn == postgres_dsn else _OWNED_TEMPLATE


@pytest.fixture(scope="session")
def _template(postgres_dsn: str, owner_dsn: str, _empty_template: str) -> str:
    _create_database(postgres_dsn, _TEMPLATE, _empty_template, owner_dsn)
    template = make_conninfo(owner_dsn, dbname=_TEMPLATE)
    schema_migration.upgrade(template)
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute("UPDATE sightline.id_key SET key = %s", [_ID_KEY])
    return _TEMPLATE


@pytest.fixture
def empty_dsn(postgres_dsn: str, owner_dsn: str, _empty_template: str) -> Iterator[str]:
    """Return the DSN of an empty database; drop it after the test."""
    yield from _database(postgres_dsn, _empty_template, owner_dsn)


@pytest.fixture
def database_dsn(postgres_dsn: str, owner_dsn: str, _template: str) -> Iterator[str]:
    """Return the DSN of a migrated database without rows; drop it after the test."""
    yield from _database(postgres_dsn, _template, owner_dsn)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """Open a migrated database without rows."""
    opened = await Database.open(database_dsn)
    yield opened
    await opened.close()


def _database(postgres_dsn: str, template: str, owner_dsn: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _create_database(postgres_dsn, name, template, owner_dsn)
    yield make_conninfo(owner_dsn, dbname=name)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))


def _create_database(postgres_dsn: str, name: str, template: str, owner_dsn: str) -> None:
    owner = conninfo_to_dict(owner_dsn)["user"]
    names = map(sql.Identifier, (name, str(owner), template))
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(statement.format(*names))
