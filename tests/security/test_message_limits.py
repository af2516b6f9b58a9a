"""Large bodies, long names and floods of messages by one token; real sockets."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer

from sightline.server.http.http_limits import HttpLimits
from sightline.server.http.message_limits import MAX_CALL_BYTES, MAX_KEPT_BYTES, MAX_MESSAGE_BYTES
from sightline.tools.registry import UPLOAD_TOOLS, register_all, register_analytics
from tests.security.test_session_limits import Target, run_server
from tests.support.mcp_messages import INITIALIZE

MODERN = "2026-07-28"
EMOJI = "\U0001f600"
META = {
    f"io.modelcontextprotocol/{name}": value
    for name, value in (
        ("protocolVersion", MODERN),
        ("clientInfo", {"name": "test", "version": "1"}),
        ("clientCapabilities", {}),
    )
}


def request(method: str, *, id_: Any = 5, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {**params, "_meta": META}}


async def send(target: Target, message: dict[str, Any], who: str = "alice") -> httpx2.Response:
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"][:100]}
    name = message.get("params", {}).get("name") or message.get("params", {}).get("uri")
    if name is not None:
        headers["Mcp-Name"] = name[:1000]
    return await target.send(who, message, **headers)


def large_handshake(size: int) -> dict[str, Any]:
    message = copy.deepcopy(INITIALIZE)
    message["params"]["clientInfo"]["name"] = EMOJI + "x" * size
    return message


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (large_handshake(MAX_KEPT_BYTES), MAX_KEPT_BYTES),
        (
            request(
                "subscriptions/listen",
                notifications={"resourceSubscriptions": ["sightline://x"] * 2_000},
            ),
            MAX_KEPT_BYTES,
        ),
        (request("ping", x="x" * MAX_MESSAGE_BYTES), MAX_MESSAGE_BYTES),
        (request("resources/read", uri="x" * MAX_MESSAGE_BYTES), MAX_MESSAGE_BYTES),
        (request("prompts/get", name="x", arguments={"x": "x" * 100_000}), MAX_MESSAGE_BYTES),
        (request("tools/call", name="slow", arguments={"x": "x" * 300_000}), MAX_CALL_BYTES),
    ],
    ids=lambda value: value["method"] if isinstance(value, dict) else "",
)
async def test_a_body_is_limited_by_its_method(
    tmp_path: Path, message: dict[str, Any], limit: int
) -> None:
    async with run_server(tmp_path) as target:
        response = await send(target, message)
        assert response.status_code == 413
        error = response.json()
        assert error["id"] == message["id"]
        assert f"at most {limit:,} bytes" in error["error"]["message"]
        assert len(response.content) < 1_000


async def test_an_upload_may_be_large(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        upload = request("tools/call", name="add_images", arguments={"x": "x" * 1_000_000})
        assert "Unknown tool" in (await send(target, upload)).text


async def test_every_tool_that_takes_images_may_have_a_large_body() -> None:
    mcp = MCPServer("test")
    register_all(mcp)
    register_analytics(mcp)
    taking = {
        tool.name for tool in await mcp.list_tools() if "base64" in json.dumps(tool.input_schema)
    }
    assert taking == UPLOAD_TOOLS


LONG = "x" * 1_000


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (request("ping", id_=LONG), "id"),
        (request("ping", id_=EMOJI * 300), "id"),
        (request("ping", id_=10**300), "id"),
        (request(LONG), "method"),
        (request("prompts/get", name=LONG), "name"),
        (request("tools/call", name=LONG), "name"),
        (request("tools/call", name="slow", arguments={LONG: 1}), "the name of an argument"),
        (
            {
                **request("tools/call", name="slow"),
                "params": {"name": "slow", "_meta": {**META, "progressToken": LONG}},
            },
            "progressToken",
        ),
    ],
    ids=range(8),
)
async def test_a_long_name_is_refused_before_it_is_compared_or_repeated(
    tmp_path: Path, message: dict[str, Any], what: str
) -> None:
    async with run_server(tmp_path) as target:
        response = await send(target, message)
        assert response.status_code == 400
        error = response.json()["error"]["message"]
        assert error.startswith(f"{what} has ")
        assert "use at most " in error
        assert len(response.content) < 1_000


async def test_a_session_keeps_little_of_its_handshake(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        largest = large_handshake(MAX_KEPT_BYTES - 400)
        for _ in range(5):
            await target.send("alice", largest)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(20):
                assert (await target.send("alice", largest)).status_code == 200
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 20 * 2**19


async def test_the_bytes_of_a_principal_are_limited_by_time(tmp_path: Path) -> None:
    limits = HttpLimits(max_body_bytes=2_000_000)
    async with run_server(tmp_path, limits=limits, rate_limit__max_calls_per_minute=60) as target:
        body = request("tools/call", name="add_images", arguments={"x": "x" * 1_990_000})
        answers = [await send(target, body) for _ in range(8)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[:3] == [200] * 3
        assert statuses[-1] == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await send(target, body, "bob")).status_code == 200


async def test_many_small_values_count_as_many_bytes(tmp_path: Path) -> None:
    limits = HttpLimits(max_body_bytes=1_000_000)
    async with run_server(tmp_path, limits=limits, rate_limit__max_calls_per_minute=60) as target:
        # 20,000 unknown keys in 200 kB, each of which would be a validation error.
        upload = {f"{number:04x}": 1 for number in range(20_000)}
        body = request("tools/call", name="add_images", arguments={"uploads": [upload]})
        statuses = [(await send(target, body)).status_code for _ in range(8)]
        assert (statuses[0], statuses[-1]) == (200, 429)
        text = request("tools/call", name="add_images", arguments={"x": "x" * len(str(upload))})
        assert (await send(target, text, "bob")).status_code == 200
        texts = [(await send(target, text, "bob")).status_code for _ in range(7)]
        assert texts == [200] * 7


async def test_requests_that_are_no_calls_are_limited(tmp_path: Path) -> None:
    async with run_server(tmp_path, rate_limit__max_calls_per_minute=20) as target:
        answers = [await send(target, request("tools/list")) for _ in range(19)]
        assert [answer.status_code for answer in answers[:16]] == [200] * 16
        assert answers[-1].status_code == 429
        assert (await send(target, request("tools/list"), "bob")).status_code == 200


@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_an_unknown_prompt_is_a_counted_error_that_logs_nothing(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_server(tmp_path, principals=()) as target, Client(target.url, mode=mode) as mcp:
        with caplog.at_level(logging.WARNING, "mcp"), pytest.raises(Exception) as caught:  # noqa: PT011
            await mcp.get_prompt("nothing")
        assert str(caught.value).startswith("Unknown prompt 'nothing'")
        assert [each for each in caplog.records if each.name.startswith("mcp")] == []
        async with httpx2.AsyncClient() as http:
            metrics = (await http.get(target.url.replace("/mcp", "/metrics"))).text
        assert 'outcome="refused",tool="prompts/get"' in metrics


@pytest.mark.parametrize("public_url", ["", "https://eyes.example"])
async def test_a_connection_with_too_many_requests_sends_no_more_for_a_while(
    tmp_path: Path, public_url: str
) -> None:
    proxy = {"http__public_url": public_url} if public_url else {}
    limits = HttpLimits(pause_seconds=1e6)
    async with run_server(
        tmp_path, limits=limits, rate_limit__max_calls_per_minute=1, **proxy
    ) as target:
        body = json.dumps(request("ping")).encode()
        headers = {
            **target.headers("alice"),
            "Content-Type": "application/json",
            "Host": "localhost",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        one = f"POST /mcp HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        port = int(target.url.removesuffix("/mcp").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(one * 40)
            while b" 429 " not in await reader.readuntil(b"\r\n\r\n"):
                pass
            # Answers to others, so that the server has had time for the next request.
            for _ in range(20):
                await target.http.get(target.url.replace("/mcp", "/healthz"))
            rest = await _buffered(reader)
            assert (rest.count(b" 429 ") > 0) is bool(public_url)
        finally:
            writer.close()


async def _buffered(reader: asyncio.StreamReader) -> bytes:
    """Return what has arrived."""
    try:
        async with asyncio.timeout(0):
            return await reader.read(10**6)
    except TimeoutError:
        return b""
