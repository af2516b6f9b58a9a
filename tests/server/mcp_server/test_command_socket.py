"""Commands of a terminal use a running server, and only one of the same account and settings."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent

from sightline.server.app import create_app
from sightline.server.cli.cli_context import ToolFailedError, call_tool
from sightline.server.config import Settings
from sightline.server.mcp_server.command_socket import (
    CommandReply,
    ask_running_server,
    command_folder,
    server_identity,
)
from tests.support.settings import make_settings

OTHER_ACCOUNT = 65534
_CONNECT_AS_OTHER = """
import os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(sys.argv[3].encode() + b"\\n")
print(connection.makefile().read(), end="")
"""


class Echo:
    """A tool that tells who called, after it was released."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.released = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    def register(self, server: MCPServer[Any]) -> None:
        server.add_tool(self.echo, "echo")

    async def echo(self, word: str) -> CallToolResult:
        self.called.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        return CallToolResult(content=[TextContent(type="text", text=json.dumps({"said": word}))])


@asynccontextmanager
async def running(settings: Settings, echo: Echo) -> AsyncIterator[None]:
    """Run a server that answers commands."""
    app = create_app(settings, register=(echo.register,), answers_commands=True)
    async with Client(app) as client:
        await client.list_tools()
        yield


async def ask(settings: Settings, tool: str = "echo", **arguments: object) -> CommandReply | None:
    return await asyncio.to_thread(ask_running_server, settings, tool, arguments)


async def test_a_command_is_answered_by_the_running_server(tmp_path: Path) -> None:
    echo = Echo()
    echo.released.set()
    settings = make_settings(tmp_path)
    async with running(settings, echo):
        assert await ask(settings, word="van") == CommandReply({"said": "van"}, "")
        folder = command_folder(settings)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
    assert await ask(settings, word="van") is None
    assert list(folder.iterdir()) == []


async def test_several_commands_are_answered_at_once(tmp_path: Path) -> None:
    echo, settings = Echo(), make_settings(tmp_path)
    async with running(settings, echo):
        words = [str(number) for number in range(5)]
        tasks = [asyncio.create_task(ask(settings, word=word)) for word in words]
        await echo.called.wait()
        echo.released.set()
        assert [each.result["said"] for each in await asyncio.gather(*tasks)] == words


async def test_a_command_gets_the_errors_of_the_tool(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with running(settings, Echo()):
        reply = await ask(settings, "no_such_tool")
        assert reply is not None
        assert reply.result is None
        assert "Unknown tool 'no_such_tool'" in reply.error
        reply = await ask(settings, wort="van")
        assert reply is not None
        assert "'wort'" in reply.error


async def test_results_and_errors_are_those_of_a_command_without_a_server(
    tmp_path: Path, database_dsn: str
) -> None:
    # Both wait longer than a client does.
    settings = make_settings(tmp_path, database__url=database_dsn, startup_timeout_seconds=1e-9)
    calls = [
        ("list_collections", {}),
        ("search_text", {"query": "a van", "collection": "nowhere"}),
        ("view_image", {"asset": "0123456789ab", "max_edge": 64}),
    ]

    async def results() -> list[object]:
        found: list[object] = []
        for tool, arguments in calls:
            try:
                found.append(await asyncio.to_thread(_call, settings, tool, arguments))
            except ToolFailedError as error:
                found.append(str(error))
        return found

    async with Client(create_app(settings, answers_commands=True)):
        assert await ask(settings, "list_collections") is not None
        with_server = await results()
    assert with_server == await results()
    assert with_server[0] == {"collections": []}
    assert "0123456789ab" in str(with_server[2])


def _call(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return asyncio.run(call_tool(settings, tool, arguments))


@pytest.mark.parametrize(
    "other", [{"limits__max_results": 7}, {"encoder__model": "builtin"}, {"images": "link"}]
)
async def test_a_server_with_other_settings_does_not_answer(
    other: dict[str, object], tmp_path: Path
) -> None:
    echo = Echo()
    echo.released.set()
    async with running(make_settings(tmp_path), echo):
        assert await ask(make_settings(tmp_path, **other), word="van") is None
        # The address of the HTTP server changes no result.
        assert await ask(make_settings(tmp_path, http__port=1234), word="van") is not None


async def test_a_server_with_another_folder_or_database_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = Echo()
    echo.released.set()
    named = make_settings(tmp_path, encoder__model="local-dir:clip", database__url="dbname=assets")
    async with running(named, echo):
        assert await ask(named, word="van") is not None
        with monkeypatch.context() as patched:
            patched.setenv("PGHOST", "elsewhere")
            assert await ask(named, word="van") is None
        monkeypatch.chdir(tmp_path)
        assert await ask(named, word="van") is None


async def test_a_server_of_another_version_does_not_answer(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with running(settings, Echo()):
        (path,) = command_folder(settings).iterdir()
        reader, writer = await asyncio.open_unix_connection(str(path))
        server = server_identity(settings) | {"version": "0.0.1"}
        request = {"server": server, "tool": "echo", "arguments": {"word": "van"}}
        writer.write(json.dumps(request).encode() + b"\n")
        assert await reader.read() == b'{"accepted": false}\n'
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [b"", b"\n", b"[]\n", b"{}\n", b'{"server": 1}\n', b"x" * 99, b"[" * 200_000 + b"\n"],
)
async def test_a_malformed_request_does_not_disturb_the_server(
    request_: bytes, tmp_path: Path
) -> None:
    echo = Echo()
    echo.released.set()
    settings = make_settings(tmp_path)
    async with running(settings, echo):
        (path,) = command_folder(settings).iterdir()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request_)
        writer.write_eof()
        assert await reader.read() in (b"", b'{"accepted": false}\n')
        writer.close()
        assert await ask(settings, word="van") == CommandReply({"said": "van"}, "")


async def test_a_call_is_cancelled_when_its_command_ends(tmp_path: Path) -> None:
    echo, settings = Echo(), make_settings(tmp_path)
    async with running(settings, echo):
        (path,) = command_folder(settings).iterdir()
        reader, writer = await asyncio.open_unix_connection(str(path))
        request = {"server": server_identity(settings), "tool": "echo", "arguments": {"word": "a"}}
        writer.write(json.dumps(request).encode() + b"\n")
        assert await reader.readline() == b'{"accepted": true}\n'
        await echo.called.wait()
        writer.close()
        await echo.was_cancelled.wait()


async def test_a_command_runs_by_itself_if_the_server_ends_meanwhile(tmp_path: Path) -> None:
    echo, settings = Echo(), make_settings(tmp_path)
    async with running(settings, echo):
        task = asyncio.create_task(ask(settings, word="van"))
        await echo.called.wait()
    assert await task is None


async def test_a_data_folder_with_a_long_path_has_no_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(tmp_path / ("long" * 25))
    async with running(settings, Echo()):
        assert "File name too long" in caplog.text
        assert await ask(settings, word="van") is None


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a socket that takes connections and says nothing."""
    settings = make_settings(tmp_path)
    folder = command_folder(settings)
    folder.mkdir(mode=0o700, parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "silent.sock"))
        listening.listen()
        yield settings


async def test_a_server_that_says_nothing_is_not_waited_for(silent: Settings) -> None:
    asking = partial(ask_running_server, silent, "echo", {}, accept_seconds=0.05)
    assert await asyncio.to_thread(asking) is None


async def test_the_next_server_removes_a_socket_that_was_left_behind(tmp_path: Path) -> None:
    echo = Echo()
    echo.released.set()
    settings = make_settings(tmp_path)
    folder = command_folder(settings)
    folder.mkdir(mode=0o700, parents=True)
    left = folder / "left.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    assert await ask(settings, word="van") is None
    async with running(settings, echo):
        assert not left.exists()
        assert await ask(settings, word="van") is not None


@pytest.mark.parametrize("kind", ["open to others", "link"])
async def test_a_folder_that_others_can_change_is_not_used(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(tmp_path)
    folder = command_folder(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    async with running(settings, Echo()):
        assert "is no private folder" in caplog.text
        assert list(folder.iterdir()) == []
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind(str(folder / "planted.sock"))
            planted.listen()
            planted.settimeout(0)
            assert await ask(settings, word="van") is None
            with pytest.raises(BlockingIOError):  # nobody connected
                planted.accept()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
async def test_another_account_is_refused_even_if_it_reaches_the_socket() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(Path(folder))
        async with running(settings, Echo()):
            (path,) = command_folder(settings).iterdir()
            request = {"server": server_identity(settings), "tool": "echo", "arguments": {}}
            arguments = (str(path), str(OTHER_ACCOUNT), json.dumps(request))

            async def connect() -> str:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", _CONNECT_AS_OTHER, *arguments),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                out, error = await process.communicate()
                return (out + error).decode()

            assert "PermissionError" in await connect()
            for opened in (path, path.parent, Path(folder)):
                opened.chmod(0o777)
            with suppress(PermissionError):
                settings.data_dir.chmod(0o777)
            assert await connect() == '{"accepted": false}\n'
