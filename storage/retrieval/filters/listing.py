"""List what a selection matches, without a query."""

from __future__ import annotations

from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_value, fetch_values, load_sql
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.search_types import Key, ResultLevel

MAX_LISTED = 10_000
"""The last asset or passage that paging through a listing reaches."""
_SQL = load_sql("selection")


async def list_selected(
    connection: Connection, scope: SearchScope, level: ResultLevel, *, offset: int, limit: int
) -> tuple[list[Key], int]:
    """Return one page of ids, and the number of all that match.

    Assets are ordered by capture time, the newest first, and then by source name, page or time.
    Passages are in the order of their documents.
    """
    rows, parameters = scope.rows(level)
    total = await fetch_value(connection, sql.SQL(_SQL["count"]).format(rows=rows), parameters)
    block = "list_assets" if level == "asset" else "list_passages"
    page = {"limit": min(limit, max(0, MAX_LISTED - offset)), "offset": offset}
    statement = sql.SQL(_SQL[block]).format(rows=rows)
    return await fetch_values(connection, statement, {**parameters, **page}), total
