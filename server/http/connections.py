"""Limits of connections: their number, and the time of slow clients.

uvicorn waits for ever for the rest of a request and for a client that does not read its response.
`LimitedProtocol` tells when a client is too slow; `Connections.close_slow` is called regularly. At
the limit of connections, the least useful one makes room for a new one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import h11
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from uvicorn.protocols.http.h11_impl import H11Protocol

from sightline.server.http.http_limits import HttpLimits
from sightline.server.mcp_server.rate_limit import PAUSES_CONNECTION

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
#: Parsing a chunk takes time even if it has one byte, so their mean size has a minimum.
_MIN_MEAN_CHUNK_BYTES = 64
#: Chunks of a body that may have any size.
_FREE_CHUNKS = 1024
#: Length of the network prefix that a provider gives to one customer.
_IPV6_PREFIX = 64
_BUSY_RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class _CheckedConnection(h11.Connection):
    """An HTTP/1.1 parser that also rejects large and ambiguous requests."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self._chunks = 0
        self._chunk_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._chunk_bytes = 0
            _check_head(event)
        elif isinstance(event, h11.Data) and event.chunk_start:
            self._chunks += 1
            self._chunk_bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._chunk_bytes // _MIN_MEAN_CHUNK_BYTES:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


def _check_head(request: h11.Request) -> None:
    """Raise RemoteProtocolError for a head that is too large or ambiguous."""
    headers = request.headers
    size = len(request.target) + sum(len(name) + len(value) for name, value in headers)
    if size > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
        raise h11.RemoteProtocolError("the head of the request is too large")
    names = {name for name, _ in headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        # A proxy and this server could see different ends of the body (RFC 9112, 6.1).
        raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding are given")


class Connections:
    """All connections of a server."""

    def __init__(
        self,
        limits: HttpLimits,
        *,
        max_total: int,
        max_per_address: int,
        has_proxy: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        #: Behind a proxy, requests of several callers share a connection.
        self.has_proxy = has_proxy
        self.clock = clock
        self._max_total = max_total
        self._max_per_address = max_per_address
        self._open: dict[LimitedProtocol, str | None] = {}
        self._per_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[LimitedProtocol]:
        return iter(list(self._open))

    def add(self, new: LimitedProtocol) -> bool:
        """Add a connection; return False if there is no room.

        At the limit, the least useful connection that is not busy is closed.
        """
        address = _network(new.client)
        if address is not None and self._per_address[address] >= self._max_per_address:
            rivals = [each for each, where in self._open.items() if where == address]
        elif len(self._open) >= self._max_total:
            rivals = list(self._open)
        else:
            rivals = None
        if rivals is not None:
            victim = self._least_useful(rivals)
            if victim is None:
                return False
            self.remove(victim)
            victim.transport.abort()
        self._open[new] = address
        if address is not None:
            self._per_address[address] += 1
        return True

    def _least_useful(self, rivals: Sequence[LimitedProtocol]) -> LimitedProtocol | None:
        """Return the connection that makes room for a new one, None if all are busy.

        First the oldest of callers without a token, and of principals with many idle ones; then
        those that are themselves new; last the idle ones of other principals.
        """
        idle = {each: state for each in rivals if (state := each.idle_state()) is not None}
        counts = Counter(state.principal for state in idle.values())
        newest = self.clock() - self.limits.newcomer_seconds
        max_idle = min(self.limits.max_idle_each, self._max_total // 4)

        def order(connection: LimitedProtocol) -> tuple[int, float]:
            state = idle[connection]
            if state.has_incomplete_head and state.since > newest:
                return 1, state.since
            is_kept = state.principal is not None and counts[state.principal] <= max_idle
            return 2 if is_kept else 0, state.since

        return min(idle, key=order, default=None)

    def remove(self, connection: LimitedProtocol) -> None:
        address = self._open.pop(connection, None)
        if address is not None:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def close_slow(self) -> None:
        """Close the connections whose client is too slow."""
        now = self.clock()
        for connection in self:
            if connection.is_too_slow(now):
                connection.transport.abort()


class IdleState(NamedTuple):
    """The principal of an idle connection (None: no token), and since when it is idle."""

    principal: str | None
    since: float
    has_incomplete_head: bool


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 protocol of uvicorn that knows how slow its client is."""

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _CheckedConnection()
        self._connections = connections
        self._limits = connections.limits
        self._clock = connections.clock
        #: Time of the last response, at first that of the connection.
        self._idle_since = self._clock()
        #: When the current head or body must be complete. Infinite between two requests.
        self._read_deadline = math.inf
        self._body_started_at = 0.0
        self._body_bytes = 0
        #: Smallest size of the write buffer since it was last empty, and when that was reached.
        self._unsent: tuple[int, float] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._connections.add(self):
            self._read_deadline = self._clock() + self._limits.head_seconds
        else:
            transport.write(_BUSY_RESPONSE)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = self._clock()
        was_in_body = self.conn.their_state is h11.SEND_BODY
        super().data_received(data)
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            if not was_in_body:
                self._body_started_at, self._body_bytes = now, 0
            self._body_bytes += len(data)  # about, because the first data contain the head
            if not self._has_responded:
                self._read_deadline = (
                    self._body_started_at
                    + self._limits.body_seconds
                    + self._body_bytes / self._limits.min_body_bytes_per_second
                )
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._read_deadline = min(self._read_deadline, now + self._limits.head_seconds)
        elif state is h11.IDLE:
            # The rest of a refused body has arrived; it stopped the timer of idle connections.
            self._read_deadline = now + self.timeout_keep_alive
        else:
            self._read_deadline = math.inf

    def on_response_complete(self) -> None:
        now = self._idle_since = self._clock()
        if self.conn.their_state is h11.SEND_BODY:
            # The request was refused. Its client may still send, and reads the response after it.
            self._read_deadline = now + self._limits.linger_seconds
        if self.cycle.scope["state"].get(PAUSES_CONNECTION) and not self._connections.has_proxy:
            # Refusing costs little, but not nothing: a flood would keep the event loop busy.
            complete = super().on_response_complete
            self.loop.call_later(self._limits.pause_seconds, complete)
            return
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._unsent = None
        super().resume_writing()

    def is_too_slow(self, now: float) -> bool:
        """Return whether the client is late with a request or does not read a response."""
        size = self.transport.get_write_buffer_size()
        if not size:
            self._unsent = None
        elif self._unsent is None or size <= self._unsent[0] - self._limits.min_written_bytes:
            self._unsent = (size, now)
        elif now - self._unsent[1] >= self._limits.write_seconds:
            return True
        return now >= self._read_deadline

    @property
    def unfinished_body_bytes(self) -> int:
        return self._body_bytes if self.conn.their_state is h11.SEND_BODY else 0

    def idle_state(self) -> IdleState | None:
        """Return the state of an idle connection, None if it is busy.

        One whose head is incomplete is idle too. Bytes of a head do not make it newer.
        """
        has_incomplete_head = self.conn.their_state is h11.IDLE and self._read_deadline < math.inf
        if not has_incomplete_head and not self._has_responded:
            return None
        # The authentication sets the user of the last request.
        user = None if self.cycle is None else self.cycle.scope.get("user")
        principal = user.username if isinstance(user, AuthenticatedUser) else None
        return IdleState(principal, self._idle_since, has_incomplete_head)

    @property
    def _has_responded(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete


def _network(client: tuple[str, int] | None) -> str | None:
    """Return the address of a client or its IPv6 network; None for this machine."""
    if client is None:
        return None
    address = ipaddress.ip_address(client[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None  # a proxy, a tunnel or the only user
    prefix = _IPV6_PREFIX if address.version == 6 else 32
    return str(ipaddress.ip_network((address, prefix), strict=False))
