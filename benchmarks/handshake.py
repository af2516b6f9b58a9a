"""Handshake and ``tools/list`` against an empty SDK server, warm over HTTP and cold over stdio.

    python -m benchmarks handshake

Cold is what a person waits for when an assistant starts the server: the process, its imports, the
handshake and the list of tools, while models and database are still opening.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

import uvicorn
from mcp import Client, StdioServerParameters
from mcp.server.mcpserver import MCPServer

from benchmarks import environment
from benchmarks.tables import Times, show, verdict
from sightline.server.config.settings import Settings
from sightline.server.http import http_server

BUDGET = 1.5
MODES = ("2026-07-28", "legacy")

_EMPTY = "from mcp.server.mcpserver import MCPServer; MCPServer('empty').run()"


async def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    with environment.settings() as chosen:
        rows = []
        for mode in MODES:
            empty = await _empty_over_http(mode, options.warm)
            async with http_server.start_http_server(chosen) as (url, _):
                async with Client(url) as client:  # waits until all is open
                    await client.call_tool("search_images", {"query": "warm"})
                ours = await _lists(url, mode, options.warm)
            rows.append(_row(f"HTTP, warm, {mode}", ours, empty))
        for mode in MODES:
            empty = await _lists(
                StdioServerParameters(command=sys.executable, args=["-c", _EMPTY]),
                mode,
                options.cold,
            )
            ours = await _lists(_command(chosen), mode, options.cold)
            rows.append(_row(f"stdio, cold, {mode}", ours, empty))
    show(
        "Handshake and tools/list, milliseconds",
        ("", "p50", "p95", "empty p50", "empty p95", "ratio of p50"),
        rows,
    )


def _row(name: str, ours: Times, empty: Times) -> tuple[str, ...]:
    return (
        name,
        *ours.shown,
        *empty.shown,
        verdict(ours.p50 / empty.p50, BUDGET, most=True),
    )


async def _lists(server: str | StdioServerParameters, mode: str, times: int) -> Times:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        async with Client(server, mode=mode) as client:
            await client.list_tools()
            seconds.append(time.perf_counter() - began)
    return Times(tuple(seconds))


async def _empty_over_http(mode: str, times: int) -> Times:
    config = uvicorn.Config(
        MCPServer("empty", log_level="ERROR").streamable_http_app(),
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    bound = config.bind_socket()
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        return await _lists(f"http://127.0.0.1:{bound.getsockname()[1]}/mcp", mode, times)
    finally:
        server.should_exit = True
        await running
        bound.close()


def _command(chosen: Settings) -> StdioServerParameters:
    return StdioServerParameters(
        command=str(Path(environment.SIGHTLINE)),
        args=["serve"],
        env=environment.environment(chosen, os.environ),
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks handshake")
    parser.add_argument("--warm", type=int, default=50, help="sessions over HTTP")
    parser.add_argument("--cold", type=int, default=5, help="processes over stdio")
    return parser.parse_args(arguments)
