"""Slow, half-sent, ambiguous and too many requests over real sockets.

The clients have deadlines of some hundredths of a second. A test waits until its connection ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer

from sightline.server.auth import static_tokens
from sightline.server.http.http_limits import DEFAULT_LIMITS, HttpLimits
from sightline.server.http.http_server import RunningServer, start_http_server
from sightline.server.http.message_limits import MAX_JSON_VALUES
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import NO_DATABASE, make_settings

SHORT = 0.05
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\n"
)


class Tools:
    """A tool that waits until ``go`` is set, and one with a large result."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started = asyncio.Semaphore(0)

    def register(self, mcp: MCPServer) -> None:
        @mcp.tool()
        async def slow() -> str:
            self.started.release()
            await self.go.wait()
            return "done"

        @mcp.tool()
        async def large() -> str:
            self.started.release()
            return "x" * 16_000_000


class Target:
    """A running server and sockets to it."""

    def __init__(self, url: str, running: RunningServer, tools: Tools, stack: ExitStack) -> None:
        self.url, self.running, self.tools, self._stack = url, running, tools, stack
        self.base = url.removesuffix("/mcp")
        self.host, _, port = self.base.removeprefix("http://").partition(":")
        self.port = int(port)

    def received_bytes(self) -> int:
        """Return the bytes of all unfinished bodies."""
        return sum(each.unfinished_body_bytes for each in self.running.connections)

    async def connect(self, data: bytes = b"", **options: Any) -> Connection:
        """Open a connection that lasts until the end of the test, and send data."""
        reader, writer = await asyncio.open_connection(self.host, self.port, **options)
        self._stack.callback(writer.close)
        connection = Connection(reader, writer)
        await connection.send(data)
        return connection


class Connection:
    """A TCP connection of a client without HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> bytes:
        """Return what the server sends until it closes the connection."""
        received = b""
        with suppress(ConnectionError):
            while data := await self.reader.read(65_536):
                received += data
        return received

    async def send_until_closed(self, data: bytes) -> bytes:
        """Send the same bytes slowly, again and again; return what the server sends."""
        closed = asyncio.create_task(self.until_closed())
        with suppress(ConnectionError):
            while not closed.done():
                await self.send(data)
                await asyncio.sleep(SHORT / 10)
        return await closed

    async def response(self) -> tuple[int, bytes]:
        """Return status and body of the next response with a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        (length,) = [int(line.split(":")[1]) for line in lines if line.startswith("content-length")]
        return int(head.split(b" ")[1]), await self.reader.readexactly(length)


@asynccontextmanager
async def run_server(
    tmp_path: Path, limits: HttpLimits = DEFAULT_LIMITS, **overrides: Any
) -> AsyncIterator[Target]:
    tools = Tools()
    settings = make_settings(tmp_path, **{"http__shutdown_timeout_seconds": 0.1, **overrides})
    async with start_http_server(settings, register=(tools.register,), limits=limits) as (
        url,
        running,
    ):
        async with httpx2.AsyncClient() as http:  # the server is ready
            assert (await http.get(f"{url.removesuffix('/mcp')}/healthz")).status_code == 200
        with ExitStack() as stack:
            yield Target(url, running, tools, stack)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"G",
        b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\n ",
    ],
    ids=repr,
)
async def test_a_connection_without_a_complete_head_is_closed(tmp_path: Path, begin: bytes) -> None:
    async with run_server(tmp_path, HttpLimits(head_seconds=SHORT)) as target:
        assert await (await target.connect(begin)).until_closed() == b""
        # The second request of a connection has the same time.
        again = await target.connect(GET)
        assert (await again.response())[0] == 200
        if begin:
            await again.send(begin)
            assert await again.until_closed() == b""


async def test_a_head_that_arrives_slowly_is_closed(tmp_path: Path) -> None:
    async with run_server(tmp_path, HttpLimits(head_seconds=SHORT)) as target:
        connection = await target.connect(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert await connection.send_until_closed(b"X: y\r\n") == b""


@pytest.mark.parametrize("length", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_stops_is_closed(tmp_path: Path, length: bytes) -> None:
    limits = HttpLimits(body_seconds=SHORT, min_body_bytes_per_second=10**9)
    async with run_server(tmp_path, limits) as target:
        connection = await target.connect(POST + length + b"\r\n\r\n5\r\nhello\r\n")
        assert await connection.until_closed() == b""


async def test_a_body_that_arrives_slowly_is_closed(tmp_path: Path) -> None:
    limits = HttpLimits(body_seconds=SHORT, min_body_bytes_per_second=100_000)
    async with run_server(tmp_path, limits) as target:
        connection = await target.connect(POST + b"Content-Length: 5000\r\n\r\n")
        assert await connection.send_until_closed(b"x") == b""


async def test_the_body_of_a_refused_request_is_not_awaited(tmp_path: Path) -> None:
    _, stored = static_tokens.issue_token("alice", ["read"])
    limits = HttpLimits(linger_seconds=SHORT)
    async with run_server(tmp_path, limits, tokens=str(stored)) as target:
        head = POST + b"Content-Length: 8000000\r\n\r\n"
        connection = await target.connect(head)
        assert (await connection.response())[0] == 401
        assert await connection.send_until_closed(b"x" * 100) == b""


async def test_a_connection_goes_on_after_a_refused_body(tmp_path: Path) -> None:
    _, stored = static_tokens.issue_token("alice", ["read"])
    async with run_server(tmp_path, tokens=str(stored)) as target:
        connection = await target.connect(POST + b"Content-Length: 5\r\n\r\n")
        assert (await connection.response())[0] == 401
        await connection.send(b"12345")
        await connection.send(GET)
        assert (await connection.response())[0] == 200


async def test_a_client_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    limits = HttpLimits(write_seconds=SHORT)
    async with run_server(tmp_path, limits) as target:
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "large"}}
        body = json.dumps(call).encode()
        async with httpx2.AsyncClient(headers=ACCEPT) as http:
            session = (await http.post(target.url, json=INITIALIZE)).headers["mcp-session-id"]
        connection = await target.connect(
            POST
            + f"Mcp-Session-Id: {session}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body,
            limit=1024,  # asyncio stops reading the socket when twice as much is unread
        )
        await target.tools.started.acquire()
        await eventually(lambda: not len(target.running.connections))
        assert len(await connection.until_closed()) < 16_000_000


async def test_half_sent_requests_make_room_for_complete_ones(tmp_path: Path) -> None:
    limits = HttpLimits(newcomer_seconds=0)
    async with run_server(tmp_path, limits, http__max_connections=20) as target:
        half = [await target.connect(GET[:20]) for _ in range(60)]
        for number in range(20):
            whole = await target.connect(GET)
            assert (await whole.response())[0] == 200
            # Each took the place of the oldest that waits.
            assert await half[40 + number].until_closed() == b""
        assert len(target.running.connections) == 20


async def test_idle_connections_make_room_the_unauthenticated_first(tmp_path: Path) -> None:
    secret, stored = static_tokens.issue_token("alice", ["read"])
    async with run_server(tmp_path, http__max_connections=4, tokens=str(stored)) as target:
        known = await target.connect(GET[:-2] + f"Authorization: Bearer {secret}\r\n\r\n".encode())
        assert (await known.response())[0] == 200
        unknown = [await target.connect(GET) for _ in range(20)]
        for connection in unknown[-3:]:
            assert (await connection.response())[0] == 200
        await known.send(GET)
        assert (await known.response())[0] == 200


async def test_a_new_connection_gets_503_if_all_are_busy(tmp_path: Path) -> None:
    issued = [static_tokens.issue_token(f"user{number}", ["read", "write"]) for number in range(4)]
    tokens = "\n".join(str(stored) for _, stored in issued)
    async with run_server(tmp_path, http__max_connections=4, tokens=tokens) as target:
        for secret, _ in issued:
            await target.connect(upload(secret, 100_000))
        await eventually(lambda: all_are_busy(target, 4))
        refused = await target.connect(GET)
        assert (await refused.until_closed()).startswith(b"HTTP/1.1 503 ")


def all_are_busy(target: Target, count: int) -> bool:
    states = [connection.idle_state() for connection in target.running.connections]
    return states == [None] * count


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a state of the server that no event announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


AMBIGUOUS_OR_TOO_LARGE = [
    POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + GET,
    POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + GET,
    POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + GET,
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456" + GET,
    POST + b"Content-Length: -1\r\n\r\n" + GET,
    POST + b"Content-Length: 1_0\r\n\r\n" + GET,
    POST + b"Content-Length : 5\r\n\r\n12345" + GET,
    POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + GET,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" + GET,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n" + GET,
    b"GET /healthz HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n" + GET,
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 101 + b"\r\n" + GET,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
    b"\r\n" * 10 + GET,
    b"\x16\x03\x01\x02\x00\x01\x00",
]


async def test_an_ambiguous_or_too_large_request_ends_its_connection(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        for request in AMBIGUOUS_OR_TOO_LARGE:
            answer = await (await target.connect(request)).until_closed()
            assert answer.startswith(b"HTTP/1.1 400 "), request
            assert answer.count(b"HTTP/1.1 ") == 1, request


async def test_a_body_of_tiny_chunks_ends_its_connection(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        connection = await target.connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        closed = asyncio.create_task(connection.until_closed())
        with suppress(ConnectionError):
            for _ in range(100_000):
                if closed.done():
                    break
                await connection.send(b"1\r\n \r\n" * 100)
        assert (await closed)[:13] in (b"", b"HTTP/1.1 400 ")


async def test_an_upgrade_is_not_possible(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        for protocol in (b"websocket", b"h2c"):
            upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"
            connection = await target.connect(GET[:-2] + upgrade)
            assert (await connection.response())[0] == 200


async def test_the_body_bytes_of_a_principal_leave_room_for_others(tmp_path: Path) -> None:
    issued = {name: static_tokens.issue_token(name, ["read"]) for name in ("alice", "bob")}
    limits = HttpLimits(max_total_body_bytes=3_000_000)
    tokens = "\n".join(str(stored) for _, stored in issued.values())
    async with run_server(tmp_path, limits, tokens=tokens) as target:
        await target.connect(upload(issued["alice"][0], 1_000_000))
        await eventually(lambda: target.received_bytes() >= 1_000_000)
        refused = await target.connect(upload(issued["alice"][0], 1_100_000))
        assert (await refused.response())[0] == 429
        async with httpx2.AsyncClient(
            headers={**ACCEPT, "Authorization": f"Bearer {issued['bob'][0]}"}
        ) as http:
            session = (await http.post(target.url, json=INITIALIZE)).headers["mcp-session-id"]
            params = {"name": "add_images", "arguments": {"padding": "x" * 1_000_000}}
            message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            headers = {"Mcp-Session-Id": session}
            response = await http.post(target.url, json=message, headers=headers)
            assert response.status_code == 200


def upload(token: str, size: int) -> bytes:
    """Return a request without the last byte of its body."""
    head = f"Authorization: Bearer {token}\r\nContent-Length: {size + 1}\r\n\r\n"
    return POST + head.encode() + b" " * size


@pytest.mark.parametrize("part", ["[],", "{},", "1,"])
async def test_json_that_needs_much_more_memory_than_bytes_is_refused(
    tmp_path: Path, part: str
) -> None:
    async with run_server(tmp_path) as target, httpx2.AsyncClient(headers=ACCEPT) as http:
        body = '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[' + part * MAX_JSON_VALUES
        headers = {"Content-Type": "application/json"}
        response = await http.post(target.url, content=body + "1]}}", headers=headers)
        assert response.status_code == 413


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of open files")
async def test_exhausted_file_descriptors_are_logged_once_and_the_server_recovers(
    tmp_path: Path,
) -> None:
    environment = {
        **os.environ,
        "SIGHTLINE_DATA_DIR": str(tmp_path),
        "SIGHTLINE_DATABASE__URL": NO_DATABASE,
        "SIGHTLINE_ENCODER__MODEL": f"local-dir:{tmp_path / 'nowhere'}",
        "SIGHTLINE_HTTP__SHUTDOWN_TIMEOUT_SECONDS": "1",
    }
    # The process begins with many open files, so the limit of connections does not help.
    command = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(190)]\n"
        "from sightline.server.cli import main; sys.exit(main())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command, "serve", "--http", "--port", "0"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    log = b""
    assert process.stderr is not None
    try:
        with open_files() as files:
            async for line in process.stderr:
                log += line
                if b"listening on " in line:
                    url = line.decode().split("listening on ")[1].strip().removesuffix("/mcp")
                    host, _, port = url.removeprefix("http://").partition(":")
                    files += [
                        (await asyncio.open_connection(host, int(port)))[1] for _ in range(80)
                    ]
                if b"new connections wait" in line:
                    break
        async with httpx2.AsyncClient(timeout=60) as http:
            assert (await http.get(f"{url}/healthz")).status_code == 200
    finally:
        if process.returncode is None:
            process.terminate()
        log += (await process.communicate())[1]
    assert log.count(b"new connections wait") == 1, log
    assert b"Traceback" not in log
    assert b"the limit of 256 open files allows 128 instead of 1024 connections" in log


@contextmanager
def open_files() -> Iterator[list[asyncio.StreamWriter]]:
    files: list[asyncio.StreamWriter] = []
    try:
        yield files
    finally:
        for each in files:
            each.close()
