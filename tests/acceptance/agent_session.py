"""A server with the material, and the calls of an agent, counted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from mcp import Client
from PIL import Image

from sightline.server.app import create_app
from sightline.server.config import Settings, load_settings, variable
from tests.acceptance import agent_material
from tests.acceptance.agent_material import Material
from tests.acceptance.conftest import SIGHTLINE
from tests.support.ports import free_port
from tests.support.results import images_of, json_of

_CHARS_PER_TOKEN = 4
_TIMEOUT_SECONDS = 300
#: Arguments that name an asset, and those that list some.
_IDS, _ID_LISTS = ("asset", "image"), ("assets", "like", "unlike")


@dataclass(frozen=True)
class Library:
    """A running server with all collections."""

    url: str
    material: Material


@contextmanager
def serve_library(folder: Path) -> Iterator[Library]:
    """Write the material, ingest it and serve it over HTTP from another process.

    The path of the folder must be short: the socket of the database is in it.
    """
    folder = folder.resolve()
    (folder / "files").mkdir()
    material = agent_material.write(folder / "files")
    options: dict[str, Any] = {
        "data_dir": folder / "data",
        "allowed_roots": (folder / "files",),
        "encoder__threads": 1,
        "startup_timeout_seconds": _TIMEOUT_SECONDS,
        "log__level": "error",
    }
    collections = {name: name for name in agent_material.UNREAD_COLLECTIONS}
    collections[agent_material.UNREAD] = "receipts"
    asyncio.run(
        _add(create_app(load_settings(**options, ingest__ocr="off")), material, collections)
    )
    with _http_process(load_settings(**options, http__port=free_port())) as url:
        collections = {name: name for name in agent_material.READ_COLLECTIONS}
        asyncio.run(_add(url, material, collections))
        yield Library(url, material)


async def _add(server: Any, material: Material, collections: dict[str, str]) -> None:
    """Ingest folders of the material into collections."""
    async with Client(server, read_timeout_seconds=_TIMEOUT_SECONDS) as client:
        for folder, collection in collections.items():
            paths = [str(material.folder / folder)]
            arguments = {"collection": collection, "paths": paths}
            added = json_of(await client.call_tool("add_images", arguments))
            assert (added["failed"], added["duplicates"]) == (0, 0), added


@contextmanager
def _http_process(settings: Settings) -> Iterator[str]:
    values = {
        "data_dir": settings.data_dir,
        "allowed_roots": settings.allowed_roots[0],
        "encoder.threads": settings.encoder.threads,
        "startup_timeout_seconds": settings.startup_timeout_seconds,
        "log.level": settings.log.level,
        "http.port": settings.http.port,
        "rate_limit.max_calls_per_minute": 0,
    }
    process = subprocess.Popen(
        [SIGHTLINE, "serve", "--http"],
        env=os.environ | {variable(name): str(value) for name, value in values.items()},
        stdin=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{settings.http.port}"
        transport = httpx.HTTPTransport(retries=9)  # with a backoff, minutes
        with httpx.Client(transport=transport, timeout=_TIMEOUT_SECONDS) as client:
            client.get(f"{address}/readyz")
        yield f"{address}/mcp"
    finally:
        process.terminate()
        process.wait()


class Agent:
    """Calls tools as a model does: it knows no ids but those of earlier results."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read = ""
        self.calls = 0
        self.images = 0

    @property
    def tokens(self) -> int:
        """About the tokens of all results, without images."""
        return len(self._read) // _CHARS_PER_TOKEN

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the result of a call."""
        return (await self.look(tool, **arguments))[0]

    async def look(self, tool: str, **arguments: Any) -> tuple[dict[str, Any], list[Image.Image]]:
        """Return the result of a call, and its images."""
        named = [arguments[key] for key in _IDS if key in arguments]
        named += [each for key in _ID_LISTS for each in arguments.get(key, ())]
        unknown = [each for each in named if f'"{each}"' not in self._read]
        assert not unknown, f"no result has the ids {unknown}"
        result = await self._client.call_tool(tool, arguments)
        data, images = json_of(result), images_of(result)
        self.calls += 1
        self.images += len(images)
        self._read += json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return data, images


@asynccontextmanager
async def play(
    library: Library,
    record: Callable[[str, object], None],
    *,
    max_calls: int,
    max_tokens: int,
) -> AsyncIterator[Agent]:
    """Connect an agent, record what its task took, and check that it was not more than given."""
    failure: Exception | None = None
    async with Client(library.url, read_timeout_seconds=_TIMEOUT_SECONDS) as client:
        agent = Agent(client)
        try:
            yield agent
        except Exception as error:  # noqa: BLE001 - raised below, outside the client's task groups
            failure = error
    for name in ("calls", "tokens", "images"):
        record(name, getattr(agent, name))
    if failure is not None:
        raise failure
    assert agent.calls <= max_calls
    assert agent.tokens <= max_tokens
