"""For whom a call works: the principal that is bound, or the server itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from sightline.storage.db import tenancy
from sightline.storage.db.pool import Database
from sightline.tools.shared.dependencies import Provider

#: For so long a principal goes on seeing everything once it is bound. What a bound principal sees
#: is decided by Postgres, in each transaction anew.
_KEPT_SECONDS = 5.0
_MOST_KEPT = 10_000


class Tenants:
    """Asks the database who is bound, and remembers it for a moment."""

    def __init__(
        self, database: Provider[Database], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    def forget(self) -> None:
        """Ask anew from here on: somebody was bound."""
        self._known.clear()

    async def tenant(self, principal: str) -> str | None:
        """The principal where it sees what it is bound to; ``None`` where it sees everything.

        Raises what the database raises while it cannot be used.
        """
        until, everything = self._known.get(principal, (0.0, False))
        if self._clock() >= until:
            database = await self._database.get()
            async with database.connection(autocommit=True) as connection:
                everything = await tenancy.sees_everything(connection, principal)
            if len(self._known) >= _MOST_KEPT:
                self.forget()
            self._known[principal] = (self._clock() + _KEPT_SECONDS, everything)
        return None if everything else principal
