"""Counts and sizes of what a library holds, for people."""

from __future__ import annotations

from typing import Any

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, fetch_one, load_sql
from sightline.storage.records import collections

_SQL = load_sql("library_statistics")
_BLOCKS = ("sources", "assets", "passages", "annotations", "spaces")


async def library_statistics(database: Database, collection: str | None = None) -> dict[str, Any]:
    """Return rows of counts by block, and the sizes of the database.

    ``collection`` None counts all. Raises UnknownNameError.
    """
    async with database.connection() as connection:
        name = None
        if collection is not None:
            name = (await collections.get(connection, collection)).name
        params = {"collection": name}
        counted: dict[str, Any] = {
            block: await fetch_all(connection, _SQL[block], params, row=dict) for block in _BLOCKS
        }
        sizes: dict[str, int] | None = await fetch_one(connection, _SQL["database"], {}, row=dict)
    return {"collection": name, **counted, "database": sizes or {}}
