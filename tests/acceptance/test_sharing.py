"""Two HTTP servers share the database of one data folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from sightline.server.config import load_settings, variable
from sightline.server.http import http_server
from sightline.storage.postgres import pidfile
from tests.acceptance.gallery import CAPTIONS
from tests.support.results import json_of

Serve = Callable[[Path, Path, Path], AbstractAsyncContextManager[str]]
SOURCES = len(CAPTIONS) + 1  # and a page of text


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sightline-shared-") as name:
        yield Path(name)


@asynccontextmanager
async def here(folder: Path, encoder: Path, pictures: Path) -> AsyncIterator[str]:
    """Run a server in this process."""
    settings = load_settings(
        data_dir=folder,
        encoder__model=f"local-dir:{encoder}",
        encoder__threads=1,
        allowed_roots=(pictures,),
        ingest__workers=1,
        startup_timeout_seconds=200,
        http__port=0,
    )
    async with http_server.start_http_server(settings) as (url, _):
        yield url


@asynccontextmanager
async def elsewhere(folder: Path, encoder: Path, pictures: Path) -> AsyncIterator[str]:
    """Run a server in its own process and kill it at the end."""
    options = {
        "data_dir": folder,
        "encoder__model": f"local-dir:{encoder}",
        "encoder__threads": 1,
        "allowed_roots": pictures,
        "ingest__workers": 1,
        "startup_timeout_seconds": 200,
    }
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("sightline")), "serve", "--http", "--port", "0"),
        env=os.environ | {variable(name): str(value) for name, value in options.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"listening on " not in (line := await process.stderr.readline()):
            assert line, "the server has ended"
        yield line.decode().split("listening on ")[1].strip()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return json_of(await client.call_tool(tool, arguments))


@pytest.mark.parametrize("serve", [here, pytest.param(elsewhere, marks=pytest.mark.slow)])
async def test_two_servers_share_a_folder_and_either_may_end_first(
    serve: Serve, folder: Path, pictures: Path, random_encoder_folder: Path
) -> None:
    shared = (folder, random_encoder_folder, pictures)
    async with serve(*shared) as second_url:
        async with (
            serve(*shared) as first_url,
            Client(first_url) as first,
            Client(second_url) as second,
        ):
            given = {"collection": "gallery", "paths": [str(pictures)]}
            both = await asyncio.gather(
                call(first, "add_images", **given), call(second, "add_images", **given)
            )
            # One server ingests each file; the other one knows it.
            assert sum(each["added"] for each in both) == SOURCES
            assert [each["failed"] for each in both] == [0, 0]
            found = await asyncio.gather(
                *(call(each, "search_images", query="van") for each in (first, second))
            )
            one, other = (sorted(hit["asset"] for hit in each["hits"]) for each in found)
            assert one == other != []
            asset = one[0]
            await call(first, "delete_assets", assets=[asset])
            gone = await second.call_tool("view_image", {"asset": asset})
            assert gone.is_error
        async with Client(second_url) as second:
            (listed,) = (await call(second, "list_collections"))["collections"]
            assert listed["assets"] == len(CAPTIONS) - 1
            assert asset not in str(await call(second, "search_images", query="van"))
    if serve is here:
        assert pidfile.find(folder / "postgres" / "data") is None
