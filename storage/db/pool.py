"""Connection pool of the database; wraps errors of the driver."""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Self

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import errors
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import make_conninfo
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from sightline.storage import db
from sightline.storage.db import row_security
from sightline.storage.db.connect import connect_async
from sightline.storage.db.queries import Connection, fetch_pairs, load_sql
from sightline.storage.db.schema_safety import require_safe_schemas, search_path
from sightline.storage.errors import (
    DatabaseUnavailableError,
    LockTimeoutError,
    ModelOverloadedError,
    SchemaError,
    StorageError,
)
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.isolation.caller import current_caller, current_principal

logger = logging.getLogger(__name__)

_SQL = load_sql("pool")
_APPLICATION = "sightline"
_MIN_PGVECTOR = (0, 8)
_CONNECT_TIMEOUT_SECONDS = 5
# The pool tries this long to replace a lost connection; then the next caller tries.
_RECONNECT_SECONDS = 1.0
# After this wait, a caller checks whether the database is down or the pool is busy.
_PROBE_AFTER_SECONDS = 0.25
# Each waits for a bounded time, so this limits only a server without a limit of calls.
_MAX_WAITING = 10_000
# Errors by which the server ends or refuses a connection.
_SERVER_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
)


def database_unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """Return the error.

    Its details are the reason of the driver, which names host and user.
    """
    reason = " ".join(str(error).split())
    return DatabaseUnavailableError("The database cannot be reached. Try again.", details=reason)


@contextmanager
def wrap_driver_errors() -> Iterator[None]:
    """Replace every psycopg error by StorageError or DatabaseUnavailableError."""
    try:
        yield
    except errors.QueryCanceled as error:
        raise StorageError(f"The database canceled a statement: {error}") from error
    except errors.LockNotAvailable as error:
        raise LockTimeoutError(
            "Another operation, such as an ingest or an index build, kept locked what this one "
            "needs. Nothing was changed. Try again."
        ) from error
    except psycopg.OperationalError as error:
        # Without an SQLSTATE the client library reports a broken connection.
        if error.sqlstate is None or isinstance(error, _SERVER_GONE):
            raise database_unavailable(error) from error
        # The text names files of the server.
        raise StorageError("The database failed.", details=str(error)) from error
    except psycopg.Error as error:
        # The detail of a violated constraint may quote rows that the caller does not see.
        raise StorageError(
            f"The database refused a statement: {error.diag.message_primary or error}",
            details=error.diag.message_detail or "",
        ) from error


class Database:
    """An open database, one per event loop. Create it with ``Database.open``."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        dsn: str,
        acquire_timeout_seconds: float,
        restart: Callable[[], None] | None,
    ) -> None:
        self._pool = pool
        self.dsn = dsn
        """Connection string. It may contain a password: redact it for display."""
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._restart = restart
        self._max_writers = max(1, pool.max_size // 2)
        self._slots = FairSemaphore(
            pool.max_size, max_waiting=_MAX_WAITING, what="a database connection"
        )
        self._writer_slots = FairSemaphore(
            self._max_writers, max_waiting=_MAX_WAITING, what="a database connection for changes"
        )
        self._probe_lock = asyncio.Lock()
        self._last_acquired = 0.0
        self._close_task = asyncio.create_task(_close_with_loop(pool))

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        min_connections: int = 1,
        max_connections: int = db.MAX_CONNECTIONS,
        acquire_timeout_seconds: float = db.ACQUIRE_TIMEOUT_SECONDS,
        statement_timeout_seconds: float = db.STATEMENT_TIMEOUT_SECONDS,
        lock_timeout_seconds: float = db.LOCK_TIMEOUT_SECONDS,
        restart: Callable[[], None] | None = None,
    ) -> Self:
        """Open the pool.

        ``restart`` runs in a thread if the database cannot be reached, before the error is raised
        (``EmbeddedPostgres.ensure_running`` restarts a crashed server). Raises
        DatabaseUnavailableError, or SchemaError if pgvector is missing or a schema of the search
        path is unsafe.
        """
        dsn = make_conninfo(
            dsn, application_name=_APPLICATION, connect_timeout=_CONNECT_TIMEOUT_SECONDS
        )
        adapters, path = await _introspect(dsn)
        settings = {
            "search_path": path,
            "statement_timeout": f"{round(statement_timeout_seconds * 1000)}ms",
            "lock_timeout": f"{round(lock_timeout_seconds * 1000)}ms",
            "idle_in_transaction_session_timeout": "10min",
            "jit": "off",
            "random_page_cost": "1.1",
            "hnsw.ef_search": str(db.EF_SEARCH),
            "hnsw.iterative_scan": "relaxed_order",
            "hnsw.max_scan_tuples": str(db.MAX_SCAN_TUPLES),
        }

        async def configure(connection: Connection) -> None:
            await connection.set_autocommit(True)
            await connection.execute(_SQL["configure"], {"settings": Jsonb(settings)})
            await connection.set_autocommit(False)

        pool = AsyncConnectionPool[Connection](
            dsn,
            connection_class=Connection,
            kwargs={"context": adapters},
            min_size=min_connections,
            max_size=max_connections,
            timeout=acquire_timeout_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            configure=configure,
            check=_check,
            open=False,
            name=_APPLICATION,
        )
        await pool.open()
        return cls(pool, dsn, acquire_timeout_seconds, restart)

    def statistics(self) -> dict[str, int]:
        """Return the statistics of psycopg_pool, such as ``pool_size``."""
        statistics = dict(self._pool.get_stats())
        waiting = statistics.get("requests_waiting", 0) + self._slots.waiting
        return statistics | {"requests_waiting": waiting}

    @asynccontextmanager
    async def connection(self, *, autocommit: bool = False) -> AsyncIterator[Connection]:
        """Acquire a connection for the block, as one transaction.

        The transaction is committed at the end, rolled back on an error. With ``autocommit`` each
        statement is its own transaction, which saves a read two round trips. Driver errors are
        raised as StorageError or DatabaseUnavailableError.

        A caller has at most half of the connections at a time, and at least one, so a block must
        not acquire a second one. The operator and the work of the server itself may have all.

        Inside ``as_principal`` the connection is limited to that principal and is
        always one transaction: the limit ends with it.
        """
        principal = current_principal()
        autocommit = autocommit and principal is None
        what = f"{self._pool.max_size} database connections"
        async with AsyncExitStack() as stack:
            stack.enter_context(wrap_driver_errors())
            await _take_turn(stack, self._slots, self._acquire_timeout_seconds, what)
            connection = await self._acquire()
            try:
                if autocommit:
                    await connection.set_autocommit(True)
                async with nullcontext() if autocommit else connection:
                    if principal is not None:
                        await row_security.set_principal(connection, principal)
                    yield connection
            finally:
                if autocommit and not connection.closed:
                    await connection.set_autocommit(False)
                await self._pool.putconn(connection)

    @asynccontextmanager
    async def write_connection(
        self, *, acquire_timeout_seconds: float | None = None
    ) -> AsyncIterator[Connection]:
        """Acquire a connection for work that may wait for a lock.

        At most half of the connections do such work at a time, so that reads find a connection
        whatever the writers wait for. A caller has at most half of those. Raises
        DatabaseUnavailableError like ``connection``.
        """
        seconds = acquire_timeout_seconds or self._acquire_timeout_seconds
        what = f"{self._max_writers} database connections for changes"
        async with AsyncExitStack() as stack:
            await _take_turn(stack, self._writer_slots, seconds, what)
            yield await stack.enter_async_context(self.connection())

    async def close(self) -> None:
        """Close all connections without waiting for those in use."""
        self._close_task.cancel()
        await asyncio.wait({self._close_task})
        await self._pool.close()

    async def _acquire(self) -> Connection:
        """Return a live connection; fail fast if the database is down."""
        deadline = time.monotonic() + self._acquire_timeout_seconds
        request = asyncio.ensure_future(self._pool.getconn(self._acquire_timeout_seconds))
        try:
            while not (await asyncio.wait({request}, timeout=_PROBE_AFTER_SECONDS))[0]:
                left = deadline - time.monotonic()
                if left > 0 and not self._acquired_recently():
                    await self._require_reachable()
                    # The pool may have given up on reconnecting; a new request starts it again.
                    await self._cancel_request(request)
                    request = asyncio.ensure_future(self._pool.getconn(left))
            connection = request.result()
        except PoolClosed as error:
            raise DatabaseUnavailableError("The database was closed.") from error
        except PoolTimeout as error:
            raise DatabaseUnavailableError(
                f"The database opened no connection for {self._acquire_timeout_seconds:g} s. "
                "Try again."
            ) from error
        except BaseException:
            await self._cancel_request(request)
            raise
        self._last_acquired = time.monotonic()
        return connection

    async def _cancel_request(self, request: asyncio.Future[Connection]) -> None:
        """Cancel a request and give back a connection that arrived meanwhile."""
        request.cancel()
        await asyncio.wait({request})
        if not request.cancelled() and request.exception() is None:
            await self._pool.putconn(request.result())

    def _acquired_recently(self) -> bool:
        """Return whether connections are handed out: then a caller just waits its turn."""
        return time.monotonic() - self._last_acquired < _PROBE_AFTER_SECONDS

    async def _require_reachable(self) -> None:
        """Raise DatabaseUnavailableError if no connection is possible after a restart."""
        async with self._probe_lock:
            if self._acquired_recently():  # another caller probed meanwhile
                return
            try:
                await _probe(self.dsn)
            except DatabaseUnavailableError:
                if self._restart is None:
                    raise
                logger.warning("the database is down; restarting it")
                await asyncio.to_thread(self._restart)
                await _probe(self.dsn)
            self._last_acquired = time.monotonic()


async def _take_turn(
    stack: AsyncExitStack, slots: FairSemaphore, seconds: float, what: str
) -> None:
    """Hold a slot until the stack is closed. Raises DatabaseUnavailableError."""
    caller = current_caller()
    try:
        async with asyncio.timeout(seconds):
            await stack.enter_async_context(slots.hold(caller))
    except ModelOverloadedError as error:
        raise DatabaseUnavailableError(f"{error}.") from error
    except TimeoutError:
        share = "" if caller is None else ", or the half of them that your calls may have,"
        raise DatabaseUnavailableError(
            f"All {what}{share} were busy for {seconds:g} s. Try again."
        ) from None


async def _close_with_loop(pool: AsyncConnectionPool[Connection]) -> None:
    """Close the pool when the event loop cancels its tasks at its end.

    Cancellation does not end the pool's own tasks: the process would hang if an error skips
    ``Database.close``.
    """
    try:
        await asyncio.Event().wait()
    finally:
        await pool.close()


async def _check(connection: Connection) -> None:
    """Raise an error if the server has closed a pooled connection.

    A healthy idle connection has nothing to read. Only otherwise is a round trip needed.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _probe(dsn: str) -> None:
    try:
        connection = await connect_async(dsn)
    except psycopg.OperationalError as error:
        raise database_unavailable(error) from error
    await connection.close()


async def _introspect(dsn: str) -> tuple[AdaptersMap, str]:
    """Return adapters for the types of pgvector, and the search path that finds them.

    Built once for all connections: type oids are fixed per database. Raises SchemaError if others
    can create objects in a schema of the path.
    """
    with wrap_driver_errors():
        async with await connect_async(dsn) as connection:
            extension = await fetch_pairs(connection, _SQL["extension"])
            if not extension:
                raise SchemaError("The database has no pgvector yet. Run: sightline migrate")
            ((schema, version),) = extension.items()
            if tuple(map(int, version.split(".")[:2])) < _MIN_PGVECTOR:
                raise SchemaError(
                    f"pgvector is {version} in this database and Sightline needs 0.8 or newer. "
                    "Upgrade it on the server, then run: ALTER EXTENSION vector UPDATE"
                )
            await require_safe_schemas(connection)
            path = search_path("sightline", schema)
            await connection.execute("SELECT set_config('search_path', %s, false)", [path])
            info = await TypeInfo.fetch(connection, "halfvec")
            if info is None:
                raise SchemaError(f"pgvector has no type halfvec in schema {schema!r}.")
            register_halfvec_info(connection, info)
            return AdaptersMap(connection.adapters), path
