"""What Alembic runs around the versions: one connection, one lock, one schema.

The caller passes the DSN as ``config.attributes["dsn"]``; a developer who runs the `alembic`
command sets SIGHTLINE_DATABASE_URL.
"""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg
from alembic import context
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

# Any number that is always the same: the name of the lock that migrations take.
_LOCK = 0x51647_11E
_POLL_SECONDS = 0.2
_PGVECTOR_AT_LEAST = (0, 8)


def _dsn() -> str:
    given = context.config.attributes.get("dsn") or os.environ.get("SIGHTLINE_DATABASE_URL")
    if not given:
        raise SystemExit("set SIGHTLINE_DATABASE_URL to the database to migrate")
    return str(given)


def _ensure_extension(connection: psycopg.Connection[Any]) -> str:
    """Makes pgvector available; returns the schema that it is in."""
    query = (
        "SELECT nspname, extversion FROM pg_extension "
        "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
    )
    found = connection.execute(query).fetchone()
    if found is None:
        connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
        found = connection.execute(query).fetchone()
    if found is None:
        raise RuntimeError("pgvector was created and is not there")
    schema, version = found
    if tuple(int(part) for part in version.split(".")[:2]) < _PGVECTOR_AT_LEAST:
        raise RuntimeError(
            f"pgvector is {version} in this database and Sightline needs 0.8 or newer; upgrade "
            "it on the server, then run: ALTER EXTENSION vector UPDATE"
        )
    return str(schema)


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Waits for the lock by asking again and again.

    A blocking wait would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for those.
    """
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(_POLL_SECONDS)


def run() -> None:
    """Runs the versions that were asked for, each in its transaction."""
    dsn = _dsn()
    # Closing the connection gives the lock back.
    with psycopg.connect(dsn, autocommit=True) as guard:
        _lock(guard)
        extension_schema = _ensure_extension(guard)
        guard.execute("CREATE SCHEMA IF NOT EXISTS sightline")

        def connect() -> psycopg.Connection[Any]:
            connection = psycopg.connect(dsn, autocommit=True)
            connection.execute(
                sql.SQL("SET search_path = sightline, public, {}").format(
                    sql.Identifier(extension_schema)
                )
            )
            connection.autocommit = False
            return connection

        engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                transaction_per_migration=True,
                version_table="schema_version",
                version_table_schema="sightline",
            )
            with context.begin_transaction():
                context.run_migrations()


run()
