"""The table ``retrieval_log``: a limited row for each search.

Rows are limited in size, number and age.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage import db
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import StorageError, describe
from sightline.storage.isolation.caller import as_principal
from sightline.storage.isolation.request_identity import current_request

logger = logging.getLogger(__name__)

MAX_QUERY_CHARS: Final = 2_000
MAX_ARGUMENT_BYTES: Final = 4_096
"""As JSON. Beyond it, long arguments are replaced by their size and digest."""
_MAX_LONG_ARGUMENT_BYTES = 256
_MAX_NAME_CHARS = 255
_PRUNE_STEP_ROWS = 5_000
_FIRST_PRUNE_SECONDS = 60.0  # a command has ended before
_PRUNE_INTERVAL_SECONDS = 3_600.0
_SQL = load_sql("retrieval")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """What the log keeps; ``retention_days`` 0 keeps rows of any age."""

    retention_days: int = db.LOG_RETENTION_DAYS
    max_rows_per_principal: int = 50_000
    max_rows: int = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSearch:
    """One search.

    ``results`` are ids with scores, and ``weak`` if they do not stand out from chance;
    ``timings_ms`` has the key ``total``.
    """

    principal: str | None
    tool: str
    collections: Sequence[str] | None
    query: str
    arguments: Mapping[str, object]
    timings_ms: Mapping[str, float]
    results: Sequence[Mapping[str, object]]


class RetrievalLog:
    """Writes searches, and prunes the table in the background.

    Between `start` and `close`, it prunes every hour, and after ``prune_every`` searches. A
    principal that searches a lot loses its own oldest rows first: beyond ``max_rows``, the
    principal with the most rows loses some.
    """

    def __init__(
        self,
        database: Database,
        limits: LogLimits | None = None,
        *,
        prune_every: int = 1_000,
        observer: Callable[[LoggedSearch], None] = lambda _: None,
    ) -> None:
        """``observer`` is called with each search."""
        self._observer = observer
        self._database = database
        self._limits = limits or LogLimits()
        self._prune_every = prune_every
        self._written = 0
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Prune in the background until `close`."""
        # An empty context: the task must not work for the caller of the first search.
        self._task = asyncio.create_task(self._run(), context=contextvars.Context())

    async def close(self) -> None:
        """Stop pruning. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def write(self, search: LoggedSearch) -> None:
        """Insert a row; a failure is only logged."""
        self._observer(search)
        names, request = search.collections, current_request()
        row = {
            "principal": search.principal and search.principal[:_MAX_NAME_CHARS],
            "tool": search.tool,
            "collection": None if names is None else ", ".join(names)[:MAX_QUERY_CHARS],
            "query": search.query[:MAX_QUERY_CHARS] or None,
            "arguments": Jsonb(limit_arguments(search.arguments)),
            "timings_ms": Jsonb({name: round(ms, 2) for name, ms in search.timings_ms.items()}),
            "total_ms": search.timings_ms["total"],
            "result_count": len(search.results),
            "weak_count": sum("weak" in each for each in search.results),
            "results": Jsonb(list(search.results)),
            "request_id": request and request.id,
        }
        try:
            # Use server rights: principals without collections cannot insert rows.
            with as_principal(None):
                async with self._database.connection(autocommit=True) as connection:
                    await connection.execute(_SQL["log"], row)
        except StorageError as error:
            logger.warning("could not log the search: %s", describe(error))
        self._written += 1
        if self._written % self._prune_every == 0:
            self._due.set()

    async def prune(self) -> int:
        """Delete rows beyond the limits, in steps; return their number.

        Raises StorageError.
        """
        deleted = 0
        with as_principal(None):
            while step := await self._prune_by_age() or await self._prune_by_number():
                deleted += step
        return deleted

    async def _prune_by_age(self) -> int:
        if not self._limits.retention_days:
            return 0
        condition = sql.SQL("created_at < now() - make_interval(days => %(days)s)")
        return await self._delete_oldest(condition, {"days": self._limits.retention_days})

    async def _prune_by_number(self) -> int:
        async with self._database.connection(autocommit=True) as connection:
            found = await (await connection.execute(_SQL["largest_log"])).fetchone()
        if found is None:
            return 0
        principal, rows, total = found
        limits = self._limits
        excess = max(rows - limits.max_rows_per_principal, total - limits.max_rows)
        if excess <= 0:
            return 0
        is_owner = "principal IS NULL" if principal is None else "principal = %(principal)s"
        return await self._delete_oldest(sql.SQL(is_owner), {"principal": principal}, excess)

    async def _delete_oldest(
        self,
        condition: sql.Composable,
        parameters: Mapping[str, object],
        rows: int = _PRUNE_STEP_ROWS,
    ) -> int:
        statement = sql.SQL(_SQL["prune_log"]).format(condition=condition)
        step = min(rows, _PRUNE_STEP_ROWS)
        async with self._database.connection() as connection:
            return (await connection.execute(statement, {**parameters, "rows": step})).rowcount

    async def _run(self) -> None:
        seconds = _FIRST_PRUNE_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._due.wait()
            self._due.clear()
            seconds = _PRUNE_INTERVAL_SECONDS
            try:
                if deleted := await self.prune():
                    logger.info("deleted %d old rows of the retrieval log", deleted)
            except StorageError as error:
                logger.warning("could not prune the retrieval log: %s", describe(error))


def limit_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments, with the long ones as size and digest if all are too long."""
    encoded = {name: _encode(value) for name, value in arguments.items()}
    if sum(len(name) + len(value) for name, value in encoded.items()) <= MAX_ARGUMENT_BYTES:
        return dict(arguments)
    return {
        name: arguments[name]
        if len(value) <= _MAX_LONG_ARGUMENT_BYTES
        else {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        for name, value in encoded.items()
    }


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
