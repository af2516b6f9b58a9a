"""A small album with prices, and the server that frameworks connect to.

Both transports record the messages of the client, so that a check sees what a framework sent: over
stdio a shell script that copies its input to a file, over HTTP a proxy.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from mcp import Client
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.environment import SIGHTLINE, command_environment, ingest
from sightline.server.config import Settings, variable
from sightline.training.world.export import export

COUNT = 8
#: Hits that a filter for this price leaves.
CHEAP = 5
#: Less than the 60 seconds that the programs wait; the machine may be busy.
_STARTUP_SECONDS = 55
#: Clients start a server with few variables of their environment.
_VARIABLES = ("SIGHTLINE_", "PYTHONPATH")
_HOP_HEADERS = {"host", "content-length", "connection", "transfer-encoding"}


@dataclass(frozen=True)
class Recording:
    """The messages that a server received."""

    file: Path

    def clear(self) -> None:
        """Forget all messages."""
        self.file.write_bytes(b"")

    def calls(self, tool: str) -> list[dict[str, Any]]:
        """Return the arguments of the calls of a tool."""
        messages = []
        for line in self.file.read_text(errors="replace").splitlines():
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("method") == "tools/call":
                messages.append(message["params"])
        return [one.get("arguments") or {} for one in messages if one["name"] == tool]


@dataclass(frozen=True)
class Served:
    """A server with the album, reachable over both transports."""

    #: Folder with the command ``sightline``, for PATH.
    commands: Path
    url: str
    recording: Recording
    #: Tools as the server publishes them, in the format of MCP.
    tools: list[dict[str, Any]]
    asset: str


def write_album(folder: Path) -> None:
    """Write images with captions and prices 1, 2, 3, ..."""
    export(folder, split="test", count=COUNT, seed=14, families=("street", "product"))
    metadata = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    lines = [
        json.dumps({"file_name": row["file_name"], "text": row["caption"], "price": price})
        for price, row in enumerate(rows, 1)
    ]
    metadata.write_text("".join(f"{line}\n" for line in lines))
    for other in ("questions.jsonl", "instances.json"):
        (folder / other).unlink()


@asynccontextmanager
async def serve_album(settings: Settings, folder: Path) -> AsyncIterator[Served]:
    """Ingest the album and serve it over HTTP; over stdio, each client starts a process."""
    write_album(folder / "album")
    ingest(settings, folder / "album")
    recording = Recording(folder / "messages.jsonl")
    recording.clear()
    environment = command_environment(settings)
    environment[variable("startup_timeout_seconds")] = str(_STARTUP_SECONDS)
    commands = _write_command(folder / "bin", environment, recording)
    with _http_process(environment) as upstream, _proxy(upstream, recording) as url:
        async with Client(url, read_timeout_seconds=120) as client:
            listed = await client.list_tools()
            found = await client.call_tool("search_images", {"query": "a car"})
        text = found.content[0].text  # type: ignore[union-attr]
        if found.is_error:
            raise RuntimeError(text)
        yield Served(
            commands=commands,
            url=url,
            recording=recording,
            tools=[tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools],
            asset=json.loads(text)["hits"][0]["asset"],
        )


def _write_command(folder: Path, environment: dict[str, str], recording: Recording) -> Path:
    """Write a command ``sightline`` with these settings that records its input."""
    folder.mkdir()
    own = {k: v for k, v in environment.items() if k.startswith(_VARIABLES)}
    exports = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in own.items())
    server = f'{shlex.quote(str(SIGHTLINE))} "$@"'
    script = f"#!/bin/sh\n{exports}tee -a {shlex.quote(str(recording.file))} | {server}\n"
    (folder / "sightline").write_text(script)
    (folder / "sightline").chmod(0o700)
    return folder


@contextmanager
def _http_process(environment: dict[str, str]) -> Iterator[str]:
    """Run ``sightline serve --http`` and yield the address of the endpoint."""
    port = _free_port()
    process = subprocess.Popen(
        [SIGHTLINE, "serve", "--http"],
        env={**os.environ, **environment, variable("http.port"): str(port)},
        stdin=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        transport = httpx.HTTPTransport(retries=8)  # with a backoff, about a minute
        with httpx.Client(transport=transport, timeout=120) as client:
            client.get(f"{address}/readyz")
        yield f"{address}/mcp"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _proxy(upstream: str, recording: Recording) -> Iterator[str]:
    """Forward requests to the server and record their bodies."""
    client = httpx.AsyncClient(timeout=None)
    base = upstream.removesuffix("/mcp")

    async def forward(request: Request) -> StreamingResponse:
        body = await request.body()
        if body:
            with recording.file.open("ab") as file:
                file.write(body.replace(b"\n", b" ") + b"\n")
        kept = {k: v for k, v in request.headers.items() if k not in _HOP_HEADERS}
        kept["host"] = base.removeprefix("http://")
        onward = client.build_request(
            request.method,
            f"{base}{request.url.path}",
            params=request.query_params,
            headers=kept,
            content=body,
        )
        answer = await client.send(onward, stream=True)
        headers = {k: v for k, v in answer.headers.items() if k not in _HOP_HEADERS}
        return StreamingResponse(
            answer.aiter_raw(),
            answer.status_code,
            headers,
            background=BackgroundTask(answer.aclose),
        )

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST", "DELETE"])])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.force_exit = server.should_exit = True
        thread.join()
        listener.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
