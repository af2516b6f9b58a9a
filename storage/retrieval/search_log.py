"""The retrieval log: what was asked and what was found, for analysts and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from sightline.storage.db import row_security, sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.errors import StorageError
from sightline.storage.text.normalization import storable

_SQL = sql_loader.load("retrieval")
_log = logging.getLogger(__name__)
_QUERY_CHARS = 10_000
_ASYNCHRONOUS = "SELECT set_config('synchronous_commit', 'off', true)"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A row of ``retrieval_log``. ``results`` are ids with scores, best first."""

    principal: str | None
    tool: str
    collection: str | None
    query: str | None
    arguments: Mapping[str, object]
    timings_ms: Mapping[str, float]
    total_ms: float
    results: Sequence[Mapping[str, object]]


async def write(database: Database, entry: LogEntry) -> None:
    """Write the row. A log that cannot be written is reported to our own log and fails nothing."""
    query = None if entry.query is None else storable(entry.query[:_QUERY_CHARS])
    row = {
        "principal": entry.principal,
        "tool": entry.tool,
        "collection": entry.collection,
        "query": query,
        "arguments": Jsonb(entry.arguments),
        "timings_ms": Jsonb({k: round(v, 2) for k, v in entry.timings_ms.items()}),
        "total_ms": entry.total_ms,
        "result_count": len(entry.results),
        "results": Jsonb(list(entry.results)),
    }
    try:
        # As the server: who sees nothing has searched all the same.
        with row_security.acting_for(None):
            async with database.connection() as connection, connection.pipeline():
                await connection.execute(_ASYNCHRONOUS)
                await connection.execute(_SQL["log"], row)
    except StorageError as error:
        _log.warning("a search could not be logged: %s", error)
