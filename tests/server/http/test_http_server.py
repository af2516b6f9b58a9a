"""Tests of the HTTP server over real sockets: access, health routes and shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent

from sightline.server.auth import static_tokens as auth
from sightline.server.auth.http_auth import create_http_auth
from sightline.server.config.hosts import is_loopback
from sightline.server.http import http_server as server_http
from sightline.server.http.http_limits import HttpLimits
from sightline.server.http.http_server import start_http_server
from sightline.server.http.request_guard import transport_security
from sightline.storage.errors import ConfigurationError, SchemaError
from sightline.tools.registry import register_all
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import NO_DATABASE, make_settings

MODES = ["2026-07-28", "legacy"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def connect(url: str, mode: str, token: str | None = None) -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


def base_url(url: str) -> str:
    return url.removesuffix("/mcp")


async def post(url: str, **headers: str) -> httpx2.Response:
    """Send a handshake with additional headers."""
    async with httpx2.AsyncClient() as http:
        return await http.post(url, headers={**ACCEPT, **headers}, json=INITIALIZE)


async def test_both_protocol_revisions_are_served_at_one_address(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    async with (
        start_http_server(make_settings(tmp_path, database__url=database_dsn)) as (url, _),
        connect(url, mode) as client,
    ):
        assert "search_images" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("list_collections", {})
        assert result.structured_content == {"collections": []}
        refused = await client.call_tool("list_collections", {"limit": 3})
        assert text_of(refused).startswith("list_collections has no argument 'limit' (")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost.evil.example:80"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_only_known_hosts_and_origins_are_accepted(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with start_http_server(make_settings(tmp_path)) as (url, _):
        assert (await post(url, **headers)).status_code == status


async def test_configured_hosts_and_origins_are_accepted(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        http__allowed_hosts="eyes.example",
        http__allowed_origins="https://eyes.example",
        http__public_url="https://public.example/",
    )
    async with start_http_server(settings) as (url, _):
        for host in ("eyes.example", "public.example"):
            response = await post(url, Host=host, Origin="https://eyes.example")
            assert response.status_code == 200


def test_host_and_origin_are_also_checked_on_public_addresses(tmp_path: Path) -> None:
    _, token = auth.issue_token("x", ["read"])
    security = transport_security(make_settings(tmp_path, http__host="0.0.0.0", tokens=str(token)))
    assert security.enable_dns_rebinding_protection
    origins = {each.rpartition(":")[0] for each in security.allowed_origins if each.endswith(":*")}
    assert origins == {"http://127.0.0.1", "http://localhost", "http://[::1]"}
    assert not [host for host in security.allowed_hosts if host.startswith("0.0.0.0")]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("eyes.local", False),
    ],
)
def test_a_non_loopback_address_needs_authentication(
    host: str, loopback: bool, tmp_path: Path
) -> None:
    assert is_loopback(host) == loopback
    address = "http://127.0.0.1:1/mcp"
    if loopback:
        assert create_http_auth(make_settings(tmp_path, http__host=host), address) is None
    else:
        with pytest.raises(
            ConfigurationError, match=r"other machines can reach.*no authentication"
        ):
            create_http_auth(make_settings(tmp_path, http__host=host), address)
        _, token = auth.issue_token("x", ["read"])
        assert (
            create_http_auth(make_settings(tmp_path, http__host=host, tokens=str(token)), address)
            is not None
        )


async def test_a_too_large_body_is_rejected(tmp_path: Path) -> None:
    async with (
        start_http_server(make_settings(tmp_path)) as (url, _),
        httpx2.AsyncClient() as http,
    ):
        response = await http.post(url, json={"padding": "x" * HttpLimits().max_body_bytes})
        assert response.status_code == 413


async def test_the_error_for_a_port_in_use_names_the_setting(tmp_path: Path) -> None:
    async with start_http_server(make_settings(tmp_path)) as (url, _):
        taken = int(base_url(url).rsplit(":", 1)[1])
        with pytest.raises(ConfigurationError, match=f"port {taken}: .* SIGHTLINE_HTTP__PORT"):
            async with start_http_server(make_settings(tmp_path, http__port=taken)):
                pass


async def test_the_scopes_of_a_token_decide_which_tools_it_may_call(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    (reads, one), (writes, two) = (
        auth.issue_token("reader", ["read"]),
        auth.issue_token("writer", ["write"]),
    )
    settings = make_settings(tmp_path, database__url=database_dsn, tokens=f"{one}\n{two}")
    async with start_http_server(settings) as (url, _):
        async with connect(url, mode, reads) as client:
            assert not (await client.call_tool("list_collections", {})).is_error
            refused = await client.call_tool("delete_assets", {"assets": ["0" * 12]})
            assert text_of(refused) == (
                "the tool delete_assets needs a token with scope 'write'; 'reader' has 'read'"
            )
        async with connect(url, mode, writes) as client:
            refused = await client.call_tool("list_collections", {})
            assert "needs a token with scope 'read'; 'writer' has 'write'" in text_of(refused)


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="])
async def test_requests_without_a_known_token_are_rejected(
    tmp_path: Path, header: str | None
) -> None:
    _, token = auth.issue_token("reader", ["read"])
    headers = {} if header is None else {"Authorization": header}
    async with start_http_server(make_settings(tmp_path, tokens=str(token))) as (url, _):
        response = await post(url, **headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{base_url(url)}/metrics", headers=headers)).status_code == 401
            assert (await http.get(f"{base_url(url)}/healthz")).status_code == 200


async def test_readyz_returns_the_state_of_each_part_only(
    tmp_path: Path, database_dsn: str, random_encoder_folder: Path
) -> None:
    async with start_http_server(make_settings(tmp_path)) as (url, _), httpx2.AsyncClient() as http:
        response = await http.get(f"{base_url(url)}/readyz")
        assert response.status_code == 503
        assert response.json()["ready"] is False
        assert set(response.json()) == {"ready", "database", "encoder", "search"}
        assert "nobody" not in response.text
    settings = make_settings(
        tmp_path, database__url=database_dsn, encoder__model=f"local-dir:{random_encoder_folder}"
    )
    async with start_http_server(settings) as (url, running), httpx2.AsyncClient() as http:
        assert (await http.get(f"{base_url(url)}/healthz")).text == "ok\n"
        assert running.app.runtime is not None
        await running.app.runtime.wait_ready()
        response = await http.get(f"{base_url(url)}/readyz")
        assert response.json() == {
            "ready": True,
            "database": "ready",
            "encoder": "ready",
            "search": "ready",
        }
        assert response.status_code == 200


async def test_metrics_count_calls_and_connections(tmp_path: Path, database_dsn: str) -> None:
    async with start_http_server(make_settings(tmp_path, database__url=database_dsn)) as (url, _):
        async with connect(url, "auto") as client:
            await client.call_tool("list_collections", {})
            await client.call_tool("list_collections", {"wrong": 1})
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"{base_url(url)}/metrics")).text
    for line in (
        'sightline_tool_calls_total{outcome="ok",tool="list_collections"} 1.0',
        'sightline_tool_calls_total{outcome="refused",tool="list_collections"} 1.0',
        'sightline_database_connections{of="waiting"} 0.0',
        "sightline_encoder_queue_items 0.0",
    ):
        assert line in text


class SlowTool:
    """A tool that runs until ``go`` is set."""

    def __init__(self) -> None:
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    def register(self, mcp: MCPServer) -> None:
        @mcp.tool()
        async def slow() -> str:
            self.entered.set()
            await self.go.wait()
            return "done"


async def test_a_running_call_finishes_before_the_server_stops(mode: str, tmp_path: Path) -> None:
    slow = SlowTool()
    server = start_http_server(make_settings(tmp_path), register=(register_all, slow.register))
    url, _ = await server.__aenter__()
    async with connect(url, mode) as client:
        await client.list_tools()  # else the SDK client does this after a call
        calling = asyncio.create_task(client.call_tool("slow", {}))
        await slow.entered.wait()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0)
        slow.go.set()
        assert text_of(await calling) == "done"
    await stopping


async def test_64_concurrent_calls_are_answered(mode: str, tmp_path: Path) -> None:
    def register(mcp: MCPServer) -> None:
        @mcp.tool()
        async def echo(number: int) -> str:
            await asyncio.sleep(0)
            return str(number)

    async with (
        start_http_server(make_settings(tmp_path), register=(register,)) as (url, _),
        connect(url, mode) as client,
    ):
        results = await asyncio.gather(
            *(client.call_tool("echo", {"number": n}) for n in range(64))
        )
    assert [text_of(result) for result in results] == [str(n) for n in range(64)]


async def test_the_server_stops_if_the_schema_version_does_not_match(
    tmp_path: Path, empty_dsn: str
) -> None:
    from sightline.server.http.http_server import serve

    with pytest.raises(SchemaError, match="run: sightline migrate"):
        await serve(make_settings(tmp_path, database__url=empty_dsn))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_command_while_a_client_is_connected(
    tmp_path: Path, number: signal.Signals
) -> None:
    environment = {
        **os.environ,
        "SIGHTLINE_DATA_DIR": str(tmp_path),
        "SIGHTLINE_DATABASE__URL": NO_DATABASE,
        "SIGHTLINE_ENCODER__MODEL": f"local-dir:{tmp_path / 'nowhere'}",
        "SIGHTLINE_HTTP__SHUTDOWN_TIMEOUT_SECONDS": "60",
    }
    command = "import sys; from sightline.server.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command, "serve", "--http", "--port", "0"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        async for line in process.stderr:
            if b"listening on " in line:
                url = line.decode().split("listening on ")[1].strip()
                break
        async with connect(url, "legacy") as client:  # keeps a stream open
            await client.list_tools()
            process.send_signal(number)
            assert await asyncio.wait_for(process.wait(), 120) == 0
        assert await process.stdout.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_clients_close_idle_connections_before_the_server_does(tmp_path: Path) -> None:
    client_keepalive_seconds = httpx2.Limits().keepalive_expiry
    assert client_keepalive_seconds is not None
    async with start_http_server(make_settings(tmp_path)) as (_, running):
        assert running.server.config.timeout_keep_alive > 60 > client_keepalive_seconds


def test_connections_use_tcp_nodelay() -> None:
    with (
        server_http._bind("127.0.0.1", 0) as bound,
        socket.create_connection(bound.getsockname()),
    ):
        connection, _ = bound.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
