"""Alembic environment: creates schemas and extension, then runs migrations.

The caller passes the DSN as ``config.attributes["dsn"]``. The `alembic` command reads it from
SIGHTLINE_DATABASE__URL.
"""

from __future__ import annotations

import os
import time
from typing import Any, LiteralString

import psycopg
from alembic import context
from psycopg import errors, sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

# Arbitrary key of the advisory lock.
_LOCK = 0x51647_11E
_POLL_SECONDS = 0.2
_MIN_PGVECTOR = (0, 8)


def _dsn() -> str:
    dsn = context.config.attributes.get("dsn") or os.environ.get("SIGHTLINE_DATABASE__URL")
    if not dsn:
        raise SystemExit("Set SIGHTLINE_DATABASE__URL to the database to migrate.")
    return str(dsn)


def _ensure_extension(connection: psycopg.Connection[Any]) -> str:
    """Install pgvector if missing; return its schema."""
    if _extension(connection) is None:
        try:
            connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
        except errors.InsufficientPrivilege as error:
            raise RuntimeError(
                f"The role {connection.info.user!r} may not install pgvector in the database "
                f"{connection.info.dbname!r}. An administrator must run there: "
                "CREATE EXTENSION vector"
            ) from error
        except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise RuntimeError(
                "This Postgres has no pgvector. Install version 0.8 or newer on its machine "
                "(https://github.com/pgvector/pgvector), or unset SIGHTLINE_DATABASE__URL to use "
                "the embedded Postgres."
            ) from error
    extension = _extension(connection)
    if extension is None:
        raise RuntimeError("pgvector was installed but cannot be found.")
    schema, version = extension
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_PGVECTOR:
        raise RuntimeError(
            f"pgvector is {version} in this database and Sightline needs 0.8 or newer. Upgrade "
            "it on the server, then run: ALTER EXTENSION vector UPDATE"
        )
    return schema


def _ensure_schema(connection: psycopg.Connection[Any], name: LiteralString) -> None:
    # IF NOT EXISTS would need the right to create it even if it exists.
    if connection.execute("SELECT to_regnamespace(%s)", [name]).fetchone() != (None,):
        return
    try:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    except errors.InsufficientPrivilege as error:
        raise RuntimeError(
            f"The role {connection.info.user!r} may not create the schema {name!r} in the "
            f"database {connection.info.dbname!r}. An administrator must run there: "
            f"CREATE SCHEMA {name} AUTHORIZATION {connection.info.user}"
        ) from error


def _extension(connection: psycopg.Connection[Any]) -> tuple[str, str] | None:
    """Return schema and version of pgvector."""
    return connection.execute(
        "SELECT nspname, extversion FROM pg_extension "
        "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
    ).fetchone()


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Poll for the advisory lock.

    A blocking wait would hold a snapshot, which blocks CREATE INDEX CONCURRENTLY.
    """
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(_POLL_SECONDS)


def run() -> None:
    """Run the requested migrations, each in its own transaction."""
    dsn = _dsn()
    # Closing the connection releases the lock.
    with psycopg.connect(dsn, autocommit=True) as guard:
        _lock(guard)
        extension_schema = _ensure_extension(guard)
        for schema in ("sightline", "analytics"):
            _ensure_schema(guard, schema)

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
