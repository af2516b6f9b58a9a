"""Alembic environment: creates schemas and extension, then runs migrations.

The caller passes the DSN as ``config.attributes["dsn"]``. The `alembic` command reads it from
SIGHTLINE_DATABASE__URL.

Concurrent migrations wait for a row of ``sightline.lock``: analysts can take any advisory lock, but
no lock on this table.
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

from sightline.storage.db.connect import connect
from sightline.storage.db.schema_safety import (
    EXTENSION_SCHEMA,
    require_safe_schemas_sync,
    search_path,
)

_POLL_SECONDS = 0.2
_LOCK_TIMEOUT_SECONDS = 600.0
_MIN_PGVECTOR = (0, 8)
#: A statement of a migration waits this long for a table; searches queue behind it meanwhile.
_MAX_TABLE_LOCK_SECONDS = 10.0

# Limits of the database would end a migration or release its lock.
_NO_TIMEOUTS = """
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN (
    'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
    'transaction_timeout'
)
"""
_CREATE_LOCK = """
CREATE TABLE sightline.lock (name text PRIMARY KEY);
COMMENT ON TABLE sightline.lock IS
    'Rows that operations lock to exclude each other. Only the server has rights on it.';
INSERT INTO sightline.lock (name) VALUES ('migration');
"""
# The transaction of a row lock is found by its id, which the row stores.
_LOCK_HOLDER = """
SELECT format('process %s of %s', activity.pid, activity.usename)
FROM sightline.lock AS held
JOIN pg_locks ON pg_locks.transactionid = held.xmax AND pg_locks.granted
JOIN pg_stat_activity AS activity ON activity.pid = pg_locks.pid
WHERE held.name = 'migration'
"""
# Functions keep the search path of their creation, which a restore or ALTER EXTENSION outdates.
_FUNCTIONS = """
SELECT p.oid::regprocedure::text, p.proconfig
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname IN ('sightline', 'analytics') AND p.proconfig IS NOT NULL
"""


def _dsn() -> str:
    dsn = context.config.attributes.get("dsn") or os.environ.get("SIGHTLINE_DATABASE__URL")
    if not dsn:
        raise SystemExit("Set SIGHTLINE_DATABASE__URL to the database to migrate.")
    return str(dsn)


def _lock_timeout_seconds() -> float:
    return float(context.config.attributes.get("lock_timeout_seconds", _LOCK_TIMEOUT_SECONDS))


def _ensure_extension(connection: psycopg.Connection[Any]) -> str:
    """Install pgvector if missing; return its schema."""
    if _extension(connection) is None:
        schema = sql.Identifier(EXTENSION_SCHEMA)
        try:
            with connection.transaction():
                _ensure_schema(connection, EXTENSION_SCHEMA)
                for statement in (
                    "GRANT USAGE ON SCHEMA {} TO PUBLIC",
                    "CREATE EXTENSION vector WITH SCHEMA {}",
                ):
                    connection.execute(sql.SQL(statement).format(schema))
        except errors.InsufficientPrivilege as error:
            raise RuntimeError(
                f"The role {connection.info.user!r} may not install pgvector in the database "
                f"{connection.info.dbname!r}. An administrator must run there: "
                f"CREATE SCHEMA {EXTENSION_SCHEMA}; GRANT USAGE ON SCHEMA {EXTENSION_SCHEMA} TO "
                f"PUBLIC; CREATE EXTENSION vector WITH SCHEMA {EXTENSION_SCHEMA}"
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
    schema_name, version = extension
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_PGVECTOR:
        raise RuntimeError(
            f"pgvector is {version} in this database and Sightline needs 0.8 or newer. Upgrade "
            "it on the server, then run: ALTER EXTENSION vector UPDATE"
        )
    return schema_name


def _ensure_schema(connection: psycopg.Connection[Any], name: LiteralString) -> None:
    # IF NOT EXISTS would need the right to create it even if it exists.
    if connection.execute("SELECT to_regnamespace(%s)", [name]).fetchone() != (None,):
        return
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))


def _ensure_own_schema(connection: psycopg.Connection[Any], name: LiteralString) -> None:
    try:
        _ensure_schema(connection, name)
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


def _ensure_lock_table(connection: psycopg.Connection[Any]) -> None:
    """Create schema and table of the locks; another process may do so at the same time."""
    while True:
        try:
            _ensure_own_schema(connection, "sightline")
            require_safe_schemas_sync(connection, with_functions=False)
            if connection.execute("SELECT to_regclass('sightline.lock')").fetchone() == (None,):
                with connection.transaction():
                    connection.execute(_CREATE_LOCK)
        except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable):
            continue
        return


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Begin a transaction that holds the lock of migrations. Raises RuntimeError.

    A snapshot would block CREATE INDEX CONCURRENTLY. So this polls instead of waiting in one
    statement, and the statement has no parameters: the transaction then idles without a snapshot.
    """
    seconds = _lock_timeout_seconds()
    deadline = time.monotonic() + seconds
    query = "SELECT FROM sightline.lock WHERE name = 'migration' FOR UPDATE SKIP LOCKED"
    while True:
        connection.execute("BEGIN")
        if connection.execute(query).fetchone() is not None:
            return
        connection.execute("ROLLBACK")
        if time.monotonic() > deadline:
            holder = connection.execute(_LOCK_HOLDER).fetchone()
            raise RuntimeError(
                f"Another migration of this database is running ({holder[0] if holder else '?'}). "
                f"It did not finish in {seconds:g} s. Wait for it and try again."
            )
        time.sleep(_POLL_SECONDS)


def _update_function_paths(connection: psycopg.Connection[Any], extension_schema: str) -> None:
    """Make functions find pgvector in its schema, and no other schema of a caller."""
    path = sql.SQL(search_path(extension_schema))
    current = f"search_path={search_path(extension_schema)}"
    own = "search_path=pg_catalog, pg_temp"
    for function, settings in connection.execute(_FUNCTIONS).fetchall():
        paths = {each.replace('"', "") for each in settings if each.startswith("search_path=")}
        if paths <= {own, current.replace('"', "")}:
            continue
        connection.execute(
            sql.SQL("ALTER FUNCTION {} SET search_path = {}").format(sql.SQL(function), path)
        )


def run() -> None:
    """Run the requested migrations, each in its own transaction."""
    dsn = _dsn()
    # Closing the guard ends its transaction, which releases the lock.
    with connect(dsn, autocommit=True) as guard, connect(dsn, autocommit=True) as setup:
        guard.execute(_NO_TIMEOUTS)
        _ensure_lock_table(guard)
        _lock(guard)
        extension_schema = _ensure_extension(setup)
        _ensure_own_schema(setup, "analytics")
        require_safe_schemas_sync(setup, with_functions=False)

        def migration_connection() -> psycopg.Connection[Any]:
            connection = connect(dsn, autocommit=True)
            connection.execute(_NO_TIMEOUTS)
            seconds = min(_MAX_TABLE_LOCK_SECONDS, _lock_timeout_seconds())
            connection.execute(
                "SELECT set_config('search_path', %s, false), "
                "set_config('lock_timeout', %s, false)",
                [search_path(extension_schema), f"{max(1, round(seconds * 1000))}ms"],
            )
            connection.autocommit = False
            return connection

        engine = create_engine(
            "postgresql+psycopg://", creator=migration_connection, poolclass=NullPool
        )
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                transaction_per_migration=True,
                version_table="schema_version",
                version_table_schema="sightline",
            )
            with context.begin_transaction():
                context.run_migrations()
        _update_function_paths(setup, extension_schema)
        require_safe_schemas_sync(setup)


run()
