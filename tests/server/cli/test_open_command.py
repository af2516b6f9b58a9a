"""`sightline open` with real servers and a browser program that keeps its arguments."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from sightline.server.cli import main
from sightline.server.config import variable
from sightline.server.http.http_server import start_http_server
from sightline.server.mcp_server.command_socket import running_page_url
from tests.support.settings import NO_DATABASE, make_settings

_PROGRAM = "import sys; from sightline.server.cli import main; sys.exit(main())"
TOKEN = "secret+/ 秘密"
ENCODED = "secret%2B%2F%20%E7%A7%98%E5%AF%86"


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A program that writes its arguments to a file beside it, one per line."""
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path / "opened"}\n')
    program.chmod(0o755)
    return program


async def start(data_dir: Path, browser: Path | str, *arguments: str) -> asyncio.subprocess.Process:
    """Run the command with the settings of `make_settings`."""
    options = {
        "data_dir": data_dir,
        "http__port": 0,
        "encoder__model": f"local-dir:{data_dir / 'nowhere'}",
        "database__url": NO_DATABASE,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, "open", *arguments),
        env=os.environ
        | {variable(name): str(value) for name, value in options.items()}
        | {"BROWSER": f"{browser} %s"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _started(url: str) -> None:
    """Wait until a server has started: it answers no earlier."""
    async with httpx2.AsyncClient() as http:
        await http.get(url.removesuffix("mcp") + "healthz")


async def test_the_page_of_a_running_server_is_opened_with_the_token(
    tmp_path: Path, browser: Path
) -> None:
    async with start_http_server(make_settings(tmp_path)) as (url, _):
        await _started(url)
        page = url.removesuffix("mcp")
        process = await start(tmp_path, browser, "--token", TOKEN)
        out, errors = await process.communicate()
    assert process.returncode == 0, errors
    assert (tmp_path / "opened").read_text() == f"{page}#token={ENCODED}\n"
    assert out.decode() == f"Opening {page}\n"
    assert b"secret" not in out + errors


async def test_the_address_can_be_printed(tmp_path: Path, browser: Path) -> None:
    async with start_http_server(make_settings(tmp_path)) as (url, _):
        await _started(url)
        process = await start(tmp_path, browser, "--no-browser", "--token", TOKEN)
        out, errors = await process.communicate()
    assert out.decode() == f"{url.removesuffix('mcp')}#token={ENCODED}\n", errors
    assert not (tmp_path / "opened").exists()


async def test_without_a_server_one_runs_until_ctrl_c(tmp_path: Path) -> None:
    process = await start(tmp_path, "false", "--token", TOKEN)
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [(await process.stdout.readline()).decode().strip() for _ in range(3)]
    page = lines[1].removeprefix("Opening ")
    assert lines == [
        "Serving until Ctrl-C.",
        f"Opening {page}",
        f"No browser could be opened. Open this address yourself: {page}#token={ENCODED}",
    ]
    async with httpx2.AsyncClient() as http:
        response = await http.get(page)
    assert "<title>Sightline</title>" in response.text
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors
    assert b"listening on" in errors
    assert b"secret" not in errors


@pytest.mark.parametrize(
    ("host", "page_host"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")]
)
async def test_the_address_is_one_that_this_machine_reaches(
    host: str, page_host: str, tmp_path: Path
) -> None:
    tokens = "ann:read:" + "0" * 64
    settings = make_settings(tmp_path, tokens=tokens, http__host=host)
    async with start_http_server(settings) as (url, _):
        port = url.split(":")[-1].removesuffix("/mcp")
        page = f"http://{page_host}:{port}/"
        async with httpx2.AsyncClient() as http:
            assert (await http.get(page)).status_code == 200
        assert await asyncio.to_thread(running_page_url, settings) == page


@pytest.mark.parametrize("server_options", [{"limits__max_results": 7}, {"http__web_app": False}])
async def test_a_server_without_a_page_of_these_settings_is_not_used(
    server_options: dict[str, object], tmp_path: Path
) -> None:
    settings = make_settings(tmp_path)
    async with start_http_server(settings.replace(**server_options)) as (url, _):
        await _started(url)
        assert await asyncio.to_thread(running_page_url, settings) is None


def test_a_page_that_is_turned_off_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SIGHTLINE_HTTP__WEB_APP", "false")
    assert main(["open", "--no-browser"]) == 2
    assert "SIGHTLINE_HTTP__WEB_APP=true" in capsys.readouterr().err
