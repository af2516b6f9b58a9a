"""The connection to a server: lost sessions, refused tokens and wrong addresses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

from sightline.client import ConnectionFailedError, Sightline, ToolCallError
from sightline.server.auth import static_tokens
from sightline.server.config import Settings
from sightline.server.http.http_server import RunningServer, start_http_server
from sightline.storage.errors import InvalidArgumentError, SightlineError
from tests.support.settings import make_settings


class Counter:
    """Tools that count their calls; the first call of each never ends by itself."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called = threading.Event()

    def register(self, server: MCPServer) -> None:
        for name, is_read_only in (("read", True), ("write", False)):
            hints = ToolAnnotations(read_only_hint=is_read_only)
            server.add_tool(self._tool(name), name, annotations=hints)

    def _tool(self, name: str):  # type: ignore[no-untyped-def]
        async def run() -> dict[str, int]:
            """Count."""
            import anyio

            self.calls.append(name)
            if self.calls.count(name) == 1:
                self.called.set()
                await anyio.sleep_forever()
            return {"calls": self.calls.count(name)}

        return run


@contextmanager
def serving(settings: Settings, counter: Counter) -> Iterator[tuple[str, RunningServer]]:
    """Run a server with the tools of the counter only."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            start_http_server(settings, register=(counter.register,))
        ) as served,
    ):
        yield served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, http__shutdown_timeout_seconds=0.1)


@pytest.fixture
def on_fixed_port(settings: Settings) -> Settings:
    """Return settings with which a server can start again at the same address."""
    from tests.support.ports import free_port

    return settings.replace(http__port=free_port())


def test_a_read_is_repeated_after_the_server_was_restarted(on_fixed_port: Settings) -> None:
    counter = Counter()
    counter.calls.append("read")  # no call waits
    with serving(on_fixed_port, counter) as (url, _):
        sightline = Sightline(url).open()
        assert sightline.call("read").data == {"calls": 2}
    try:
        with pytest.raises(ConnectionFailedError, match="cannot be reached"):
            sightline.call("read")
        with serving(on_fixed_port, counter):
            assert sightline.call("read").data == {"calls": 3}
    finally:
        sightline.close()


class Relay:
    """Forwards connections to a server until the test cuts them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Yield the MCP address of the relay."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        finally:
            server.close()
            await self.cut()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, to_server[1]]
        await asyncio.gather(_pipe(reader, to_server[1]), _pipe(to_server[0], writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize(("tool", "is_repeated"), [("read", True), ("write", False)])
def test_only_a_call_that_changes_nothing_is_repeated(
    settings: Settings, tool: str, is_repeated: bool
) -> None:
    counter = Counter()
    with (
        serving(settings, counter) as (url, _),
        start_blocking_portal() as portal,
        ThreadPoolExecutor(1) as caller,
    ):
        relay = Relay(urlsplit(url).port or 0)
        with (
            portal.wrap_async_context_manager(relay.run()) as relayed,
            Sightline(relayed) as sightline,
        ):
            waiting = caller.submit(sightline.call, tool)
            assert counter.called.wait(60)
            portal.call(relay.cut)
            if is_repeated:
                assert waiting.result(60).data == {"calls": 2}
            else:
                with pytest.raises(ConnectionFailedError, match="may have been carried out"):
                    waiting.result(60)
                assert counter.calls == [tool]
                assert sightline.call(tool).data == {"calls": 2}


def with_tokens(settings: Settings, folder: Path) -> tuple[Settings, str]:
    """Return settings of a server that needs a token, and the token."""
    secret, stored = static_tokens.issue_token("alice", ["read"])
    file = folder / "tokens"
    file.write_text(str(stored))
    file.chmod(0o600)
    return settings.replace(auth__tokens_file=file), secret


def test_the_server_needs_a_valid_token(settings: Settings, tmp_path: Path) -> None:
    secured, secret = with_tokens(settings, tmp_path)
    counter = Counter()
    with serving(secured, counter) as (url, _):
        for token in (None, "wrong"):
            with pytest.raises(ConnectionFailedError, match=r"refused the token.*HTTP 401"):
                Sightline(url, token=token).open()
        with (
            Sightline(url, token=secret) as sightline,
            # The server knows the token, and asks the database who it is.
            pytest.raises(ToolCallError, match="database cannot be reached"),
        ):
            sightline.call("read")


def test_a_wrong_address_is_an_error(settings: Settings) -> None:
    with (
        serving(settings, Counter()) as (url, _),
        pytest.raises(ConnectionFailedError, match=r"no MCP server.*HTTP 404"),
    ):
        Sightline(url + "/nowhere").open()
    with pytest.raises(ConnectionFailedError, match="cannot be reached"):
        Sightline(url).open()
    for wrong in ("localhost:8765/mcp", "ftp://host/mcp", "https:///mcp"):
        with pytest.raises(InvalidArgumentError, match="is no address of a server"):
            Sightline(wrong).open()
    with pytest.raises(InvalidArgumentError, match="Give the secret in 'token'"):
        Sightline("https://alice:secret@host/mcp").open()


@pytest.mark.parametrize("token", ["", "Bearer abc", "abc\n", "ä"])
def test_a_malformed_token_is_an_error(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="The token is empty or has"):
        Sightline("https://host/mcp", token=token).open()


def test_closing_the_client_ends_a_running_call(settings: Settings) -> None:
    counter = Counter()
    with serving(settings, counter) as (url, _), ThreadPoolExecutor(1) as caller:
        sightline = Sightline(url).open()
        waiting = caller.submit(sightline.call, "read")
        assert counter.called.wait(60)
        sightline.close()
        with pytest.raises(SightlineError, match="closed"):
            waiting.result(60)


def test_a_call_has_a_time_limit(settings: Settings) -> None:
    counter = Counter()
    with (
        serving(settings, counter) as (url, _),
        Sightline(url, timeout_seconds=2) as sightline,
        pytest.raises(SightlineError, match=r"(?i)timed out"),
    ):
        sightline.call("read")
