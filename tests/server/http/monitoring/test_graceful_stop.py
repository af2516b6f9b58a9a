"""Tests of the end of a server under load, over real HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
from mcp.server.mcpserver import MCPServer

from sightline.server.http.http_server import start_http_server
from tests.support.mcp_messages import ACCEPT, calling
from tests.support.settings import make_settings

_CALLERS = 12


class GatedTool:
    """A tool whose calls wait until ``go`` is set."""

    def __init__(self) -> None:
        self.entered, self.go = asyncio.Semaphore(0), asyncio.Event()

    def register(self, mcp: MCPServer) -> None:
        @mcp.tool()
        async def gated() -> str:
            self.entered.release()
            await self.go.wait()
            return "done"

        @mcp.tool()
        async def echo(number: int) -> str:
            return str(number)


async def call(http: httpx2.AsyncClient, url: str, tool: str, **arguments: Any) -> httpx2.Response:
    headers, message = calling(tool, **arguments)
    return await http.post(url, headers={**ACCEPT, **headers}, json=message)


async def test_calls_that_have_begun_finish_and_new_ones_are_refused(tmp_path: Path) -> None:
    tool = GatedTool()
    server = start_http_server(make_settings(tmp_path), register=(tool.register,))
    url, running = await server.__aenter__()
    async with httpx2.AsyncClient(timeout=60) as http:
        begun = asyncio.create_task(call(http, url, "gated"))
        await tool.entered.acquire()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert running.app.stopping
        refused = await call(http, url, "echo", number=1)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["connection"] == "close"
        assert (await http.get(url.replace("/mcp", "/healthz"))).status_code == 200
        assert not stopping.done()
        tool.go.set()
        answered = await begun
    assert (answered.status_code, "done" in answered.text) == (200, True)
    await stopping


async def test_no_call_is_cut_when_a_server_stops_under_load(tmp_path: Path) -> None:
    tool = GatedTool()
    server = start_http_server(make_settings(tmp_path), register=(tool.register,))
    url, _ = await server.__aenter__()
    outcomes: Counter[str] = Counter()
    enough = asyncio.Event()

    async def caller() -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            for number in range(10_000):
                try:
                    response = await call(http, url, "echo", number=number)
                except httpx2.ConnectError:
                    return  # the server has closed its socket
                if response.status_code == 503:
                    outcomes["refused"] += 1
                    return
                assert f'"{number}"' in response.text, response.text
                outcomes["answered"] += 1
                if outcomes["answered"] == 5 * _CALLERS:
                    enough.set()

    callers = [asyncio.create_task(caller()) for _ in range(_CALLERS)]
    await enough.wait()
    await server.__aexit__(None, None, None)
    await asyncio.gather(*callers)
    assert outcomes["refused"] > 0
