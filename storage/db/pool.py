"""The pool of connections that everything in storage works through."""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import AsyncConnection, sql
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg.types import TypeInfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from sightline.storage import db
from sightline.storage.db import row_security
from sightline.storage.db.driver_errors import named_errors, unavailable
from sightline.storage.errors import DatabaseUnavailableError, SchemaError

Connection = AsyncConnection[TupleRow]

_log = logging.getLogger(__name__)

_APPLICATION = "sightline"
_PGVECTOR_AT_LEAST = (0, 8)
_CONNECT_TIMEOUT_SECONDS = 5
# How long the pool tries to replace a lost connection before it leaves that to the next caller.
_RECONNECT_SECONDS = 1.0
# How long a caller waits before we find out whether the database is down or the pool is busy.
_DOUBT_SECONDS = 0.25


class Database:
    """An open database. One per process and event loop; made by ``Database.open``."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        dsn: str,
        acquire_timeout_seconds: float,
        revive: Callable[[], None] | None,
    ) -> None:
        """Takes an open pool; see ``open``."""
        self._pool = pool
        self._dsn = dsn
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._revive = revive
        self._reviving = asyncio.Lock()
        self._lent = 0
        self._answered = 0.0
        self._closing = asyncio.create_task(_closed_with_the_loop(pool))

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        min_connections: int = 1,
        max_connections: int = db.MAX_CONNECTIONS,
        acquire_timeout_seconds: float = db.ACQUIRE_TIMEOUT_SECONDS,
        statement_timeout_seconds: float = db.STATEMENT_TIMEOUT_SECONDS,
        ef_search: int = 100,
        revive: Callable[[], None] | None = None,
    ) -> Self:
        """Connects. ``ef_search`` is how many candidates a vector index holds while it searches.

        ``revive`` is called in a thread when the database cannot be reached, before that is an
        error: ``EmbeddedPostgres.ensure_running`` starts a server that died.
        Raises DatabaseUnavailableError where the database cannot be reached and SchemaError where
        it lacks pgvector.
        """
        dsn = make_conninfo(
            dsn, application_name=_APPLICATION, connect_timeout=_CONNECT_TIMEOUT_SECONDS
        )
        adapters, search_path = await _introspect(dsn)
        settings = {
            "search_path": search_path,
            "statement_timeout": f"{round(statement_timeout_seconds * 1000)}ms",
            "idle_in_transaction_session_timeout": "10min",
            "jit": "off",
            "random_page_cost": "1.1",
            "hnsw.ef_search": str(ef_search),
            "hnsw.iterative_scan": "relaxed_order",
        }
        select_settings = sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, false)").format(name, value)
                for name, value in settings.items()
            )
        )

        async def configure(connection: Connection) -> None:
            await connection.set_autocommit(True)
            await connection.execute(select_settings)
            await connection.set_autocommit(False)

        pool = AsyncConnectionPool[Connection](
            dsn,
            connection_class=AsyncConnection[TupleRow],
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
        return cls(pool, dsn, acquire_timeout_seconds, revive)

    @property
    def dsn(self) -> str:
        """The connection string. It may hold a password: redact it before it is shown."""
        return self._dsn

    def statistics(self) -> dict[str, int]:
        """Of the pool, by the names that psycopg_pool gives them: ``pool_size``, and so on."""
        return dict(self._pool.get_stats())

    @asynccontextmanager
    async def connection(self, *, autocommit: bool = False) -> AsyncIterator[Connection]:
        """A connection for the length of the block.

        The block is one transaction: committed at its end, rolled back when it raises. With
        ``autocommit`` each statement is its own, which saves a read two round trips. Errors of
        the driver come out as StorageError, or DatabaseUnavailableError where the database went
        away.

        Inside `row_security.as_principal` it sees what that principal sees, and is one transaction in
        any case: its end is the end of that.
        """
        principal = row_security.current_principal()
        autocommit = autocommit and principal is None
        with named_errors():
            connection = await self._acquire()
            self._lent += 1
            try:
                if autocommit:
                    await connection.set_autocommit(True)
                async with connection if not autocommit else _left_open(connection):
                    if principal is not None:
                        await row_security.set_principal(connection, principal)
                    yield connection
            finally:
                self._lent -= 1
                if autocommit and not connection.closed:
                    await connection.set_autocommit(False)
                await self._pool.putconn(connection)

    async def close(self) -> None:
        """Closes the connections; waits for none that are in use."""
        self._closing.cancel()
        await asyncio.wait({self._closing})
        await self._pool.close()

    async def _acquire(self) -> Connection:
        """A live connection; finds out fast where there is none because the database is down."""
        until = time.monotonic() + self._acquire_timeout_seconds
        waiting = asyncio.ensure_future(self._pool.getconn(self._acquire_timeout_seconds))
        try:
            while not (await asyncio.wait({waiting}, timeout=_DOUBT_SECONDS))[0]:
                left = until - time.monotonic()
                if left > 0 and self._lent < self._pool.max_size and not self._answered_lately():
                    await self._require_reachable()
                    # The pool may have given up on new connections; it tries for who asks anew.
                    await self._leave(waiting)
                    waiting = asyncio.ensure_future(self._pool.getconn(left))
            connection = waiting.result()
        except PoolClosed as error:
            raise DatabaseUnavailableError("the database was closed") from error
        except PoolTimeout as error:
            raise DatabaseUnavailableError(
                f"all {self._pool.max_size} database connections have been busy for "
                f"{self._acquire_timeout_seconds:g} s; try again"
            ) from error
        except BaseException:
            await self._leave(waiting)
            raise
        self._answered = time.monotonic()
        return connection

    async def _leave(self, waiting: asyncio.Future[Connection]) -> None:
        """Give up a place in the queue, and the connection that may have come meanwhile."""
        waiting.cancel()
        await asyncio.wait({waiting})
        if not waiting.cancelled() and waiting.exception() is None:
            await self._pool.putconn(waiting.result())

    def _answered_lately(self) -> bool:
        """Whether connections are handed out, so that whoever waits is waiting for the others."""
        return time.monotonic() - self._answered < _DOUBT_SECONDS

    async def _require_reachable(self) -> None:
        """Raises DatabaseUnavailableError with the reason, where a connection cannot be made."""
        async with self._reviving:
            if self._answered_lately():  # by somebody who waited for the lock before us
                return
            try:
                await _probe(self._dsn)
            except DatabaseUnavailableError:
                if self._revive is None:
                    raise
                _log.warning("the database went away; starting it again")
                await asyncio.to_thread(self._revive)
                await _probe(self._dsn)
            self._answered = time.monotonic()


async def _closed_with_the_loop(pool: AsyncConnectionPool[Connection]) -> None:
    """Closes the pool when an event loop that ends cancels its tasks.

    The pool's own tasks end by no cancelling: where an error passes a database that nobody closes,
    the process would wait for them for ever.
    """
    try:
        await asyncio.Event().wait()
    finally:
        await pool.close()


@asynccontextmanager
async def _left_open(connection: Connection) -> AsyncIterator[Connection]:
    yield connection


async def _check(connection: Connection) -> None:
    """Refuses a pooled connection whose server has gone.

    A healthy idle connection has nothing to read; one that the server closed has. Only then is
    a round trip spent on finding out.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _probe(dsn: str) -> None:
    try:
        connection = await AsyncConnection.connect(dsn)
    except psycopg.OperationalError as error:
        raise unavailable(error) from error
    await connection.close()


async def _introspect(dsn: str) -> tuple[AdaptersMap, str]:
    """Adapters that know pgvector's types, and the search path that finds them.

    Built once for all connections: the numbers of the types are fixed for a database.
    """
    with named_errors():
        connection = await AsyncConnection.connect(dsn)
        async with connection:
            found = await (
                await connection.execute(
                    "SELECT nspname, extversion FROM pg_extension JOIN pg_namespace "
                    "ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
                )
            ).fetchone()
            if found is None:
                raise SchemaError("the database has no pgvector yet; run: sightline migrate")
            schema, version = found
            if tuple(int(part) for part in version.split(".")[:2]) < _PGVECTOR_AT_LEAST:
                raise SchemaError(
                    f"pgvector is {version} in this database and Sightline needs 0.8 or newer; "
                    "upgrade it on the server, then run: ALTER EXTENSION vector UPDATE"
                )
            schemas = dict.fromkeys(["sightline", "public", schema])
            path = ", ".join(sql.Identifier(name).as_string(connection) for name in schemas)
            await connection.execute("SELECT set_config('search_path', %s, false)", [path])
            info = await TypeInfo.fetch(connection, "halfvec")
            if info is None:
                raise SchemaError(f"the type halfvec of pgvector is not in its schema {schema!r}")
            register_halfvec_info(connection, info)
            return AdaptersMap(connection.adapters), path
