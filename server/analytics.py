"""Which login questions in SQL run as: one that may read the schema ``analytics`` alone."""

from __future__ import annotations

import asyncio

from psycopg.conninfo import make_conninfo

from sightline.server.settings import Settings, variable
from sightline.storage.analytics.questions import Questions
from sightline.storage.analytics.roles import ensure_query_login
from sightline.storage.database import Database
from sightline.storage.errors import ConfigurationError
from sightline.tools.dependencies import Provider


def require_login(settings: Settings) -> None:
    """Raise ConfigurationError where questions are switched on and nobody may ask them."""
    if (
        settings.analytics_enabled
        and settings.database_url is not None
        and settings.analytics_database_url is None
    ):
        raise ConfigurationError(
            f"{variable('analytics_enabled')} needs a login that may only read: run sightline "
            f"grant-analyst NAME, and set {variable('analytics_database_url')} to what it prints"
        )


class Analytics:
    """Gives `Questions` once the database is there."""

    def __init__(self, settings: Settings, database: Provider[Database]) -> None:
        self._settings = settings
        self._database = database
        self._questions: Questions | None = None
        self._making = asyncio.Lock()

    async def get(self) -> Questions:
        """Raises what the database raises while it cannot be used."""
        database = await self._database.get()
        async with self._making:
            if self._questions is None:
                self._questions = Questions(
                    await self._dsn(database),
                    timeout_seconds=self._settings.analytics_timeout_seconds,
                    most_rows=self._settings.analytics_rows,
                    most_bytes=self._settings.analytics_bytes,
                )
            return self._questions

    async def _dsn(self, database: Database) -> str:
        given = self._settings.analytics_database_url
        if given is not None:
            return given.get_secret_value()
        async with database.connection() as connection:
            login = await ensure_query_login(connection)
        return make_conninfo(database.dsn, user=login)
