"""What a principal may see: collections, and SQL through its own database role."""

from __future__ import annotations

from dataclasses import dataclass, field

from cachetools import TTLCache
from psycopg.conninfo import make_conninfo

from sightline.server.config import Settings, variable
from sightline.storage.analytics.analyst_roles import QUERY_ROLE, ensure_query_role
from sightline.storage.analytics.query_sessions import QuerySlots
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, NotAllowedError, shown
from sightline.storage.isolation.caller import as_principal, current_principal
from sightline.tools.shared.dependencies import Provider

_MAX_PRINCIPALS = 10_000
#: A new binding takes effect after at most this time. Postgres checks the collections of a bound
#: principal in each transaction, without a cache.
_TTL_SECONDS = 5.0
#: Size of the rows of one result as JSON.
_MAX_RESULT_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class PrincipalCache:
    """Looks up whether a principal is bound to collections."""

    database: Provider[Database]
    sees_everything: TTLCache[str, bool] = field(
        default_factory=lambda: TTLCache(_MAX_PRINCIPALS, _TTL_SECONDS), init=False
    )

    async def restricted_principal(self, principal: str) -> str | None:
        """Return the principal if it is bound to collections, or None if it sees all.

        Raises the error of the database if that is unavailable.
        """
        sees_everything = self.sees_everything.get(principal)
        if sees_everything is None:
            database = await self.database.get()
            async with database.connection(autocommit=True) as connection:
                sees_everything = await row_security.sees_all_collections(connection, principal)
            self.sees_everything[principal] = sees_everything
        return None if sees_everything else principal


def require_read_only_login(settings: Settings) -> None:
    """Raise ConfigurationError if an external database has no read-only login."""
    if settings.database.url is not None and settings.analytics.database_url is None:
        raise ConfigurationError(
            "SQL queries need a read-only login. Run sightline grant-analyst NAME, and set "
            f"{variable('analytics.database_url')} to the connection string that it prints."
        )


class AnalyticsProvider:
    """Provides a `SqlRunner` for each call, with the database role of its principal."""

    def __init__(self, settings: Settings, database: Provider[Database]) -> None:
        self._settings = settings
        self._database = database
        self._slots = QuerySlots()
        self._known_roles: set[str] = set()

    async def get(self) -> SqlRunner:
        """Return a runner for the current principal.

        Raises the error of the database if that is unavailable, and NotAllowedError if the
        principal may not run SQL queries.
        """
        database = await self._database.get()
        return SqlRunner(
            await self._dsn(database, current_principal()),
            timeout_seconds=self._settings.analytics.timeout_seconds,
            max_rows=self._settings.analytics.max_rows,
            max_bytes=_MAX_RESULT_BYTES,
            slots=self._slots,
            is_local=self._settings.analytics.database_url is None,
        )

    async def _dsn(self, database: Database, principal: str | None) -> str:
        shared_login = self._settings.analytics.database_url
        if shared_login is not None:
            if principal is not None:
                raise NotAllowedError(
                    "SQL queries of this server use one login that sees every collection, but "
                    f"{shown(principal)} may not see all of them; use search_images and search_text"
                )
            return shared_login.get_secret_value()
        with as_principal(None):
            async with database.write_connection() as connection:
                # Not cached: a principal that is bound again has another role.
                login = await ensure_query_role(connection, principal, known=self._known_roles)
        self._known_roles.add(login)
        if principal is not None and login == QUERY_ROLE:
            raise NotAllowedError(f"{shown(principal)} may not see any collection")
        return make_conninfo(database.dsn, user=login)
