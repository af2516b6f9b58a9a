"""The configured database: external, or the embedded Postgres of the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config import Settings
from sightline.server.lazy_resource import run_in_daemon_thread
from sightline.storage.db.pool import Database
from sightline.storage.import_lock import import_lock

if TYPE_CHECKING:
    from sightline.storage.postgres import EmbeddedPostgres


@contextmanager
def database_dsn(settings: Settings) -> Iterator[str]:
    """Yield the connection string; an embedded Postgres runs during the block."""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value()
        return
    from sightline.storage.postgres import EmbeddedPostgres

    with EmbeddedPostgres(settings.data_dir) as postgres:
        yield postgres.dsn()


def database_exists(settings: Settings) -> bool:
    """Return False if opening the database would create it."""
    if settings.database.url is not None:
        return True
    from sightline.storage.postgres import EmbeddedPostgres

    return EmbeddedPostgres.exists(settings.data_dir)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Start an embedded Postgres, check the schema, connect; close after the block.

    A new embedded database gets its schema here. If the embedded server dies, the next query that
    fails starts it again. Raises DatabaseUnavailableError (which may be temporary), SchemaError,
    ConfigurationError or StorageError.
    """
    async with AsyncExitStack() as stack:
        if settings.database.url is not None:
            dsn, restart = settings.database.url.get_secret_value(), None
            await run_in_daemon_thread(lambda: _require_head(dsn))
        else:
            postgres = await run_in_daemon_thread(
                lambda: _start_postgres(settings.data_dir), discard=lambda unused: unused.close()
            )
            stack.push_async_callback(asyncio.to_thread, postgres.close)
            dsn, restart = postgres.dsn(), postgres.ensure_running
        database = await Database.open(
            dsn,
            max_connections=settings.database.max_connections,
            acquire_timeout_seconds=settings.database.acquire_timeout_seconds,
            statement_timeout_seconds=settings.database.statement_timeout_seconds,
            restart=restart,
        )
        stack.push_async_callback(database.close)
        yield database


def _start_postgres(data_dir: Path) -> EmbeddedPostgres:
    # Imported in a thread: alembic imports SQLAlchemy, for which the handshake must not wait.
    with import_lock:
        from sightline.server.database import schema_migration
        from sightline.storage.postgres import EmbeddedPostgres

    postgres = EmbeddedPostgres(data_dir)
    try:
        dsn = postgres.dsn()
        if schema_migration.current(dsn) is None:
            schema_migration.upgrade(dsn)
        schema_migration.require_head(dsn)
    except BaseException:
        postgres.close()
        raise
    return postgres


def _require_head(dsn: str) -> None:
    with import_lock:
        from sightline.server.database import schema_migration

    schema_migration.require_head(dsn)
