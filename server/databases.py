"""The database of a process: given by its address, or the embedded Postgres of the data folder."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sightline.server.background import in_daemon_thread
from sightline.server.settings import Settings
from sightline.storage.database import Database
from sightline.storage.errors import SightlineError

if TYPE_CHECKING:
    from sightline.storage.postgres import EmbeddedPostgres

logger = logging.getLogger(__name__)


class Databases:
    """Opens the database that the settings name, and closes what it started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedPostgres | None = None
        self._database: Database | None = None
        self._mending: asyncio.Task[None] | None = None

    async def open(self) -> Database:
        """Start Postgres where it is ours, check the schema, connect.

        An embedded database that is brand new gets its tables here: nobody else could have made
        them. Raises DatabaseUnavailableError (worth trying again), SchemaError, ConfigurationError
        or StorageError.
        """
        if self._settings.database_url is not None:
            dsn = self._settings.database_url.get_secret_value()
            await in_daemon_thread(lambda: _check(dsn), discard=lambda _: None)
        else:
            if self._embedded is None:
                self._embedded = await in_daemon_thread(
                    self._start_embedded, discard=lambda postgres: postgres.close()
                )
            dsn = self._embedded.dsn()
        self._database = await Database.open(
            dsn,
            min_connections=self._settings.pool_min_connections,
            max_connections=self._settings.pool_max_connections,
            acquire_timeout_seconds=self._settings.pool_wait_seconds,
            statement_timeout_seconds=self._settings.statement_timeout_seconds,
        )
        return self._database

    def mend(self) -> None:
        """Start an embedded Postgres that died, in the background; does nothing for a given one."""
        if self._embedded is not None and (self._mending is None or self._mending.done()):
            self._mending = asyncio.create_task(self._restart(self._embedded))

    async def close(self) -> None:
        """Close the connections; the last user of an embedded Postgres stops it."""
        if self._mending is not None:
            await asyncio.wait([self._mending])
        if self._database is not None:
            await self._database.close()
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.close)

    def _start_embedded(self) -> EmbeddedPostgres:
        # Imported in the thread: alembic brings SQLAlchemy, which the handshake need not wait for.
        from sightline.server import migrate
        from sightline.storage.postgres import EmbeddedPostgres

        postgres = EmbeddedPostgres(self._settings.data_dir)
        try:
            dsn = postgres.dsn()
            if migrate.current(dsn) is None:
                migrate.upgrade(dsn)
            migrate.require_head(dsn)
        except BaseException:
            postgres.close()
            raise
        return postgres

    async def _restart(self, postgres: EmbeddedPostgres) -> None:
        try:
            await asyncio.to_thread(postgres.ensure_running)
        except SightlineError as error:
            logger.error("the embedded Postgres could not be started again: %s", error)


def _check(dsn: str) -> None:
    from sightline.server import migrate

    migrate.require_head(dsn)
