"""Which login questions in SQL run as: one that may read the schema ``analytics`` alone."""

from __future__ import annotations

import asyncio

from psycopg.conninfo import make_conninfo

from sightline.server.config.settings import Settings, variable
from sightline.storage.analytics.analyst_roles import QUERY_LOGIN, ensure_query_login
from sightline.storage.analytics.sql_runner import Questions
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, NotAllowedError, shown
from sightline.tools.shared.dependencies import Provider


def require_analytics_login(settings: Settings) -> None:
    """Raise ConfigurationError where questions are switched on and nobody may ask them."""
    if settings.analytics_enabled:
        require_given_login(settings)


def require_given_login(settings: Settings) -> None:
    """Raise ConfigurationError where the database is given and no login that may only read."""
    if settings.database_url is not None and settings.analytics_database_url is None:
        raise ConfigurationError(
            "questions in SQL need a login that may only read: run sightline grant-analyst NAME, "
            f"and set {variable('analytics_database_url')} to what it prints"
        )


class AnalyticsProvider:
    """Gives `Questions` once the database is there: to a bound principal those of its own login."""

    def __init__(self, settings: Settings, database: Provider[Database]) -> None:
        self._settings = settings
        self._database = database
        self._questions: dict[str | None, Questions] = {}
        self._making = asyncio.Lock()

    async def get(self) -> Questions:
        """Raises what the database raises while it cannot be used; NotAllowedError for a principal
        that no login can be made for.
        """
        database = await self._database.get()
        principal = row_security.current()
        async with self._making:
            if principal not in self._questions:
                self._questions[principal] = Questions(
                    await self._dsn(database, principal),
                    timeout_seconds=self._settings.analytics_timeout_seconds,
                    most_rows=self._settings.analytics_rows,
                    most_bytes=self._settings.analytics_bytes,
                )
            return self._questions[principal]

    async def _dsn(self, database: Database, principal: str | None) -> str:
        given = self._settings.analytics_database_url
        if given is not None:
            if principal is not None:
                raise NotAllowedError(
                    f"questions in SQL run as one login here, which sees every collection, and "
                    f"{shown(principal)} may not see them all; use search_images and search_text"
                )
            return given.get_secret_value()
        with row_security.acting_for(None):
            async with database.connection() as connection:
                login = await ensure_query_login(connection, principal)
        if principal is not None and login == QUERY_LOGIN:
            raise NotAllowedError(f"{shown(principal)} is bound to no collection: nothing to ask")
        return make_conninfo(database.dsn, user=login)
