"""Cache of the principals that may see every collection."""

from __future__ import annotations

from cachetools import TTLCache

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.tools.shared.dependencies import Provider

#: A new binding takes effect after at most this time. Postgres checks the collections of a bound
#: principal in each transaction, without a cache.
_TTL_SECONDS = 5.0
_MAX_PRINCIPALS = 10_000


class PrincipalCache:
    """Looks up whether a principal is bound to collections."""

    def __init__(self, database: Provider[Database]) -> None:
        self._database = database
        self._sees_everything: TTLCache[str, bool] = TTLCache(_MAX_PRINCIPALS, _TTL_SECONDS)

    def clear(self) -> None:
        """Forget all entries, so that a new binding takes effect at once."""
        self._sees_everything.clear()

    async def restricted_principal(self, principal: str) -> str | None:
        """Return the principal if it is bound to collections, or None if it sees all.

        Raises the error of the database if that is unavailable.
        """
        sees_everything = self._sees_everything.get(principal)
        if sees_everything is None:
            database = await self._database.get()
            async with database.connection(autocommit=True) as connection:
                sees_everything = await row_security.sees_all_collections(connection, principal)
            self._sees_everything[principal] = sees_everything
        return None if sees_everything else principal
