"""Write searches to the retrieval log, for analysts and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from psycopg.types.json import Jsonb

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import StorageError
from sightline.storage.retrieval.request_validation import Request, loggable_arguments
from sightline.storage.text.normalization import storable

_SQL = load_sql("retrieval")
_MAX_QUERY_CHARS = 10_000
_ASYNCHRONOUS_COMMIT = "SELECT set_config('synchronous_commit', 'off', true)"
logger = logging.getLogger(__name__)


async def write(
    database: Database,
    request: Request,
    timings_ms: Mapping[str, float],
    results: Sequence[Mapping[str, object]],
) -> None:
    """Insert a row of ``retrieval_log``; a failure does not fail the search."""
    collections = request.selection.collections
    row = {
        "principal": request.principal,
        "tool": request.tool,
        "collection": None if collections is None else ", ".join(collections),
        "query": storable(request.query).strip()[:_MAX_QUERY_CHARS] or None,
        "arguments": Jsonb(loggable_arguments(request)),
        "timings_ms": Jsonb({name: round(value, 2) for name, value in timings_ms.items()}),
        "total_ms": timings_ms["total"],
        "result_count": len(results),
        "results": Jsonb(list(results)),
    }
    try:
        # Use server rights: principals without collections cannot insert rows.
        with row_security.as_principal(None):
            async with database.connection() as connection, connection.pipeline():
                await connection.execute(_ASYNCHRONOUS_COMMIT)
                await connection.execute(_SQL["log"], row)
    except StorageError as error:
        logger.warning("could not log the search: %s", error)
