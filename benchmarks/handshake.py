"""Measure handshake and ``tools/list`` against an empty SDK server.

    python -m benchmarks handshake

A cold start is what a user waits for when a client starts the server: process, imports, handshake
and list of tools, while models and database are still loading.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import uvicorn
from mcp import Client, StdioServerParameters
from mcp.server.mcpserver import MCPServer

from benchmarks import environment
from benchmarks.tables import Durations, max_verdict, print_table
from sightline.server.config import Settings
from sightline.server.http import http_server

BUDGET = 1.5
MODES = ("2026-07-28", "legacy")

_EMPTY_SERVER = "from mcp.server.mcpserver import MCPServer; MCPServer('empty').run()"


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with environment.temporary_settings() as settings:
        rows = []
        for mode in MODES:
            empty = await _measure_empty_http(mode, options.warm)
            async with http_server.start_http_server(settings) as (url, _):
                async with Client(url) as client:  # Waits until everything is loaded.
                    await client.call_tool("search_images", {"query": "warm-up"})
                sightline = await _measure(url, mode, options.warm)
            rows.append(_row(f"HTTP, warm, {mode}", sightline, empty))
        for mode in MODES:
            empty = await _measure(
                StdioServerParameters(command=sys.executable, args=["-c", _EMPTY_SERVER]),
                mode,
                options.cold,
            )
            sightline = await _measure(_command(settings), mode, options.cold)
            rows.append(_row(f"stdio, cold, {mode}", sightline, empty))
    print_table(
        "Handshake and tools/list, milliseconds",
        ("", "p50", "p95", "empty p50", "empty p95", "ratio of p50"),
        rows,
    )


def _row(name: str, sightline: Durations, empty: Durations) -> tuple[str, ...]:
    return (
        name,
        *sightline.cells,
        *empty.cells,
        max_verdict(sightline.p50 / empty.p50, BUDGET),
    )


async def _measure(server: str | StdioServerParameters, mode: str, count: int) -> Durations:
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        async with Client(server, mode=mode) as client:
            await client.list_tools()
            seconds.append(time.perf_counter() - start)
    return Durations(tuple(seconds))


async def _measure_empty_http(mode: str, count: int) -> Durations:
    config = uvicorn.Config(
        MCPServer("empty", log_level="ERROR").streamable_http_app(),
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    running = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        return await _measure(f"http://127.0.0.1:{socket.getsockname()[1]}/mcp", mode, count)
    finally:
        server.should_exit = True
        await running
        socket.close()


def _command(settings: Settings) -> StdioServerParameters:
    return StdioServerParameters(
        command=str(Path(environment.SIGHTLINE)),
        args=["serve"],
        env=environment.command_environment(settings),
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks handshake")
    parser.add_argument("--warm", type=int, default=50, help="sessions over HTTP")
    parser.add_argument("--cold", type=int, default=5, help="processes over stdio")
    return parser.parse_args(arguments)
