"""The database of a process: given by its address, or the embedded Postgres of the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sightline.server import import_lock
from sightline.server.config import Settings
from sightline.server.lazy_resource import in_daemon_thread
from sightline.storage.db.pool import Database

if TYPE_CHECKING:
    from sightline.storage.postgres import EmbeddedPostgres


@contextmanager
def database_dsn(settings: Settings) -> Iterator[str]:
    """The address of the database that the settings name, which runs while the block does."""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value()
        return
    from sightline.storage.postgres import EmbeddedPostgres

    with EmbeddedPostgres(settings.data_dir) as postgres:
        yield postgres.dsn()


class DatabaseProvider:
    """Opens the database that the settings name, and closes what it started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedPostgres | None = None
        self._database: Database | None = None

    async def open(self) -> Database:
        """Start Postgres where it is ours, check the schema, connect.

        An embedded database that is brand new gets its tables here: nobody else could have made
        them. An embedded server that dies later is started again by whoever misses it first.
        Raises DatabaseUnavailableError (worth trying again), SchemaError, ConfigurationError or
        StorageError.
        """
        if self._settings.database.url is not None:
            dsn, revive = self._settings.database.url.get_secret_value(), None
            await in_daemon_thread(lambda: _check(dsn), discard=lambda _: None)
        else:
            if self._embedded is None:
                self._embedded = await in_daemon_thread(
                    self._start_embedded, discard=lambda postgres: postgres.close()
                )
            dsn, revive = self._embedded.dsn(), self._embedded.ensure_running
        self._database = await Database.open(
            dsn,
            max_connections=self._settings.database.max_connections,
            acquire_timeout_seconds=self._settings.database.acquire_timeout_seconds,
            statement_timeout_seconds=self._settings.database.statement_timeout_seconds,
            revive=revive,
        )
        return self._database

    async def close(self) -> None:
        """Close the connections; the last user of an embedded Postgres stops it."""
        if self._database is not None:
            await self._database.close()
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.close)

    def _start_embedded(self) -> EmbeddedPostgres:
        # Imported in the thread: alembic brings SQLAlchemy, which the handshake need not wait for.
        with import_lock.alone:
            from sightline.server.database import schema_migration
            from sightline.storage.postgres import EmbeddedPostgres

        postgres = EmbeddedPostgres(self._settings.data_dir)
        try:
            dsn = postgres.dsn()
            if schema_migration.current(dsn) is None:
                schema_migration.upgrade(dsn)
            schema_migration.require_head(dsn)
        except BaseException:
            postgres.close()
            raise
        return postgres


def _check(dsn: str) -> None:
    with import_lock.alone:
        from sightline.server.database import schema_migration

    schema_migration.require_head(dsn)
