"""Tests of the limit of connections for each address."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from sightline.server.http.connections import Connections, LimitedProtocol
from sightline.server.http.http_limits import DEFAULT_LIMITS


class MemoryTransport(asyncio.Transport):
    """A transport of a client with any address. It keeps what is written."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1000), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.is_closed = False
        self.unsent = 0

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent


async def wait(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


class Server:
    """Accepts connections of any address."""

    def __init__(self, max_total: int = 100, max_per_address: int = 3) -> None:
        self.now = 1000.0
        self.connections = Connections(
            DEFAULT_LIMITS,
            max_total=max_total,
            max_per_address=max_per_address,
            clock=lambda: self.now,
        )
        self._config = uvicorn.Config(wait, lifespan="off", ws="none", log_config=None)
        self._state = ServerState()

    def accept(self, address: str) -> tuple[LimitedProtocol, MemoryTransport]:
        transport = MemoryTransport(address)
        protocol = LimitedProtocol(
            config=self._config,
            server_state=self._state,
            app_state={},
            connections=self.connections,
        )
        protocol.connection_made(transport)
        self.now += 1
        return protocol, transport


@pytest.mark.parametrize(
    ("flood", "other"),
    [
        (["192.0.2.1"], "192.0.2.2"),
        (["::ffff:192.0.2.1", "192.0.2.1"], "::ffff:192.0.2.2"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1"], "2001:db8:0:1::1"),
        (["fe80::1%eth0", "fe80::2%eth1"], "fe81::1"),
    ],
)
async def test_a_network_has_a_limit_of_its_own(flood: list[str], other: str) -> None:
    server = Server()
    _, kept = server.accept(other)
    transports = [server.accept(address)[1] for address in flood * 6]
    assert [each.is_closed for each in transports] == [True] * (len(transports) - 3) + [False] * 3
    assert not kept.is_closed


async def test_this_machine_has_no_limit_of_its_own() -> None:
    server = Server()
    transports = [server.accept(address)[1] for address in ("127.0.0.1", "::1", "127.0.0.2") * 9]
    assert not any(each.is_closed for each in transports)


async def test_a_new_connection_is_refused_if_the_others_of_its_address_are_busy() -> None:
    server = Server()
    for _ in range(3):
        protocol, _ = server.accept("192.0.2.1")
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    _, refused = server.accept("192.0.2.1")
    assert refused.written.startswith(b"HTTP/1.1 503 ")
    assert refused.is_closed
    assert not server.accept("192.0.2.2")[1].is_closed


async def test_a_closed_connection_is_not_counted() -> None:
    server = Server(max_total=2)
    protocol, _ = server.accept("192.0.2.1")
    protocol.connection_lost(None)
    transports = [server.accept("192.0.2.1")[1] for _ in range(2)]
    assert not any(each.is_closed for each in transports)
    assert len(server.connections) == 2


async def test_a_reader_that_makes_progress_is_not_too_slow() -> None:
    server = Server()
    protocol, transport = server.accept("192.0.2.1")
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for unsent in (1_000_000, 900_000, 800_000, 0, 1_000_000, 900_000):
        transport.unsent = unsent
        server.connections.close_slow()
        server.now += DEFAULT_LIMITS.write_seconds
        assert not transport.is_closed
    transport.unsent = 899_999
    server.connections.close_slow()
    assert transport.is_closed


async def test_a_large_body_has_more_time_than_a_small_one() -> None:
    server = Server()
    protocol, transport = server.accept("192.0.2.1")
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
    for _ in range(3):
        protocol.data_received(b"x" * 2_000_000)
        server.now += 25
        server.connections.close_slow()
        assert not transport.is_closed
    server.now += 40
    server.connections.close_slow()
    assert transport.is_closed


async def test_a_new_connection_whose_head_is_late_does_not_lose_to_idle_ones() -> None:
    server = Server(max_total=5, max_per_address=5)
    idle = [server.accept("192.0.2.1") for _ in range(5)]
    for protocol, _ in idle:
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        protocol.cycle.response_complete = True
    _, new = server.accept("192.0.2.1")
    slow, slow_transport = server.accept("192.0.2.1")
    for number in range(3):
        # The head has begun, but its bytes make the connection no newer.
        slow.data_received(b"G" if not number else b"E")
        server.accept("192.0.2.1")
        assert not new.is_closed
    assert [transport.is_closed for _, transport in idle] == [True] * 5
    server.accept("192.0.2.1")
    assert new.is_closed
    server.accept("192.0.2.1")
    assert slow_transport.is_closed


async def test_a_principal_with_many_idle_connections_makes_room_for_new_ones() -> None:
    server = Server(max_total=8, max_per_address=8)
    many = [server.accept("192.0.2.1") for _ in range(6)]
    few = [server.accept("192.0.2.2") for _ in range(2)]
    for name, connections in (("alice", many), ("bob", few)):
        for protocol, _ in connections:
            protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            token = AccessToken(token="t", client_id=name, scopes=[])
            cast("dict[str, object]", protocol.cycle.scope)["user"] = AuthenticatedUser(token)
            protocol.cycle.response_complete = True
    server.now += 100
    news = [server.accept("192.0.2.3")[1] for _ in range(3)]
    assert [transport.is_closed for _, transport in many] == [True] * 3 + [False] * 3
    assert not any(each.is_closed for each in news)
    # A flood of new connections, which have no head yet, costs nobody the few connections.
    for _ in range(20):
        server.accept("192.0.2.4")
    assert [transport.is_closed for _, transport in few] == [False] * 2
