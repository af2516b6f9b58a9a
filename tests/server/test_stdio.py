"""Tests of MCP over stdin and stdout, in a separate process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from sightline.server.config import load_settings
from sightline.server.mcp_server.command_socket import ask_running_server, command_folder
from tests.support.mcp_messages import INITIALIZE
from tests.support.settings import NO_DATABASE

MODES = ["2026-07-28", "legacy"]
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from sightline.server.cli import main; sys.exit(main())",
    "serve",
]


def environment(tmp_path: Path, **options: str) -> dict[str, str]:
    """Return the environment of a server, by default without encoder and database."""
    settings = {
        "data_dir": str(tmp_path),
        "encoder__model": f"local-dir:{tmp_path / 'nowhere'}",
        "database__url": NO_DATABASE,
        **options,
    }
    return {**os.environ, **{f"SIGHTLINE_{key.upper()}": value for key, value in settings.items()}}


@asynccontextmanager
async def start_server(tmp_path: Path, **options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the command with pipes; kill it if it still runs after the block."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        env=environment(tmp_path, **options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ask(process: asyncio.subprocess.Process, message: dict[str, object]) -> dict[str, object]:
    """Send a request and return the next line."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()
    answer = json.loads(await process.stdout.readline())
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_starts_the_server_and_gets_answers(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    parameters = StdioServerParameters(
        command=COMMAND[0],
        args=COMMAND[1:],
        env=environment(tmp_path, database__url=database_dsn),
    )
    async with Client(parameters, mode=mode) as client:
        assert "search_images" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("list_collections", {})
        assert result.structured_content == {"collections": []}
        refused = await client.call_tool("search_images", {"query": "x", "topk": 5})
        (block,) = refused.content
        assert isinstance(block, TextContent)
        assert block.text.startswith("search_images has no argument 'topk'")


async def test_a_command_in_a_terminal_uses_the_server(tmp_path: Path) -> None:
    options = {"encoder__model": f"local-dir:{tmp_path / 'nowhere'}", "database__url": NO_DATABASE}
    settings = load_settings(data_dir=tmp_path, **options)
    async with start_server(tmp_path) as process:
        await ask(process, INITIALIZE)
        reply = await asyncio.to_thread(ask_running_server, settings, "list_tables", {})
        assert reply is not None
        assert "Unknown tool 'list_tables'" in reply.error
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0
    assert list(command_folder(settings).iterdir()) == []


async def test_stdout_carries_only_the_protocol(tmp_path: Path) -> None:
    async with start_server(tmp_path, log__level="debug") as process:
        answer = await ask(process, INITIALIZE)
        assert answer["id"] == 1
        answer = await ask(
            process,
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "tools/call",
                "params": {"name": "list_collections", "arguments": {}},
            },
        )
        assert answer["id"] == 2
        assert process.stdin is not None
        process.stdin.close()
        out, err = await process.communicate()
    assert out == b""
    assert b"sightline.server" in err
    assert process.returncode == 0


async def test_another_schema_version_ends_the_server_and_names_the_command_to_run(
    tmp_path: Path, empty_dsn: str
) -> None:
    async with start_server(tmp_path, database__url=empty_dsn) as process:
        assert await asyncio.wait_for(process.wait(), 120) == 2
        assert process.stderr is not None
        assert b"run: sightline migrate" in await process.stderr.read()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
async def test_a_signal_ends_the_server(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async with start_server(tmp_path) as process:
        await ask(process, INITIALIZE)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 60) == code


async def test_an_invalid_setting_is_reported_in_one_line(tmp_path: Path) -> None:
    async with start_server(tmp_path, http__port="abc", ingest__timezone="Mars/Olympus") as process:
        _, err = await process.communicate()
    (line,) = err.decode().splitlines()
    name = "SIGHTLINE_HTTP__PORT"
    assert line.startswith(f"sightline serve: {name} is wrong: Input should be a valid")
    async with start_server(tmp_path, ingest__timezone="Mars/Olympus") as process:
        _, err = await process.communicate()
    assert err.decode().startswith("sightline serve: no time zone 'Mars/Olympus'")
