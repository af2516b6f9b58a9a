"""Limits what sessions of `query_sql` send, and counts them until they end.

Rows, errors and notices count together: libpq holds each message whole, however large, and an error
message quotes the value that it is about.

Some functions and operators of Postgres never look for signals: on long values they run for hours,
whatever their time limit. Their session cannot be ended, so its caller gets no other one meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from sightline.storage.db.queries import Connection
from sightline.storage.errors import ModelOverloadedError
from sightline.storage.fair_semaphore import FairSemaphore

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_MAX_CONCURRENT = 4
_MAX_WAITING = 16
# Of all callers, still running after their end. Each uses a CPU core that has nothing else to do.
_MAX_STUCK = 8
# A session that has not ended this long after its last statement is stuck.
_END_SECONDS = 5.0


@dataclass(slots=True)
class QuerySession:
    """Counts the bytes that Postgres has sent; tells when it has closed the session."""

    max_bytes: int
    received: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def exceeded(self) -> bool:
        """Whether the limit was exceeded, which closes the connection."""
        return self.received > self.max_bytes


class SessionSlot:
    """A slot that is held until the ``session`` in it has ended."""

    def __init__(self) -> None:
        self.session: QuerySession | None = None
        #: Called once if the session is stuck.
        self.when_stuck: Callable[[], Awaitable[object]] | None = None


class QuerySlots:
    """The slots of all callers; a caller with a stuck session gets none."""

    def __init__(self, *, end_seconds: float = _END_SECONDS) -> None:
        self._slots = FairSemaphore(_MAX_CONCURRENT, max_waiting=_MAX_WAITING, what="SQL queries")
        self._end_seconds = end_seconds
        self._stuck: Counter[str | None] = Counter()
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def hold(self, caller: str | None) -> AsyncIterator[SessionSlot]:
        """Wait for a slot. Raises ModelOverloadedError for a caller that gets none."""
        self._require_unstuck(caller)
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._slots.hold(caller))
            self._require_unstuck(caller)
            slot = SessionSlot()
            try:
                yield slot
            finally:
                # In a task, because the caller may be cancelled.
                if slot.session is not None and not slot.session.ended.is_set():
                    ending = asyncio.create_task(
                        self._wait_until_ended(caller, slot, slot.session, held.pop_all())
                    )
                    self._ending.add(ending)
                    ending.add_done_callback(self._ending.discard)

    def _require_unstuck(self, caller: str | None) -> None:
        if self._stuck[caller]:
            raise ModelOverloadedError(
                "A statement of yours still runs in Postgres after its time limit: one of its "
                "functions or operators cannot be stopped. query_sql is yours again when it has "
                "ended. Then use shorter texts, arrays and documents"
            )
        if self._stuck.total() >= _MAX_STUCK:
            raise ModelOverloadedError(
                f"{_MAX_STUCK} statements of several callers still run in Postgres after their "
                "time limit; try again when some have ended"
            )

    async def _wait_until_ended(
        self,
        caller: str | None,
        slot: SessionSlot,
        session: QuerySession,
        held: AsyncExitStack,
    ) -> None:
        async with held:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._end_seconds):
                    await session.ended.wait()
        if session.ended.is_set():
            return
        # The others get the slot.
        self._stuck[caller] += 1
        try:
            logger.warning(
                "a statement of %s runs after its time limit and cannot be stopped; a restart of "
                "Postgres would end it",
                caller or "the operator",
            )
            if slot.when_stuck is not None:
                await slot.when_stuck()
            await session.ended.wait()
        finally:
            self._stuck[caller] -= 1
            self._stuck = +self._stuck  # forgets callers without any


@asynccontextmanager
async def limit_received_bytes(
    connection: Connection, max_bytes: int
) -> AsyncIterator[QuerySession]:
    """Cut an open connection when it has received more bytes.

    Closes it after the block. Puts a socket pair under the descriptor that libpq uses, and copies
    between its other end and the real socket. This works for every kind of connection, also an
    encrypted one. The real socket stays open until Postgres closes it: the session has ended then.
    """
    session = QuerySession(max_bytes)
    descriptor = connection.fileno()
    server = socket.socket(fileno=os.dup(descriptor))
    client, for_libpq = socket.socketpair()
    with for_libpq:
        for each in (server, client, for_libpq):
            each.setblocking(False)
        os.dup2(for_libpq.fileno(), descriptor, inheritable=False)
    server_reader, server_writer = await asyncio.open_connection(sock=server)
    client_reader, client_writer = await asyncio.open_connection(sock=client)
    send = asyncio.create_task(_send(client_reader, server_writer))
    receive = asyncio.create_task(_receive(server_reader, client_writer, session))
    relay = asyncio.create_task(_relay(send, receive, session, (server_writer, client_writer)))
    _relays.add(relay)
    relay.add_done_callback(_relays.discard)
    try:
        yield session
    finally:
        await connection.close()  # gives no turn to others, so a cancellation cannot skip it


# The event loop itself keeps no tasks.
_relays: set[asyncio.Task[None]] = set()


async def _relay(
    send: asyncio.Task[None],
    receive: asyncio.Task[None],
    session: QuerySession,
    writers: tuple[asyncio.StreamWriter, ...],
) -> None:
    try:
        await receive
    finally:
        session.ended.set()
        send.cancel()
        for writer in writers:
            writer.close()
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _send(client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await client.read(_CHUNK_BYTES):
            server.write(data)
            await server.drain()
        server.write_eof()  # libpq has closed its end; Postgres closes the other one


async def _receive(
    server: asyncio.StreamReader, client: asyncio.StreamWriter, session: QuerySession
) -> None:
    """Copy until Postgres closes its end; discard what libpq does not read any more."""
    with contextlib.suppress(OSError):
        while data := await server.read(_CHUNK_BYTES):
            session.received += len(data)
            if session.exceeded:
                client.close()
            elif not client.is_closing():
                client.write(data)
                with contextlib.suppress(OSError):
                    await client.drain()
