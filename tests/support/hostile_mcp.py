"""An MCP server whose tools reply what a test wants, also what is not MCP."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.tools.registry import TOOL_NAMES
from tests.support.ports import free_port

_ANY = {"type": "object"}
CALLS = ("tools/call",)


@dataclass
class HostileMcp:
    """``result`` is the result of every tool call.

    ``body`` replaces the response to a request with one of the ``methods``; ``{id}`` in it is the
    id of the request.
    """

    url: str
    result: CallToolResult | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    methods: Collection[str] = CALLS
    is_endless: bool = False
    is_compressed: bool = False
    is_silent: bool = False
    unanswered: list[str] = field(default_factory=list)

    def reply(self, text: str, *more: Any) -> None:
        """Answer calls with a text block and more blocks."""
        self.result = CallToolResult(content=[TextContent(type="text", text=text), *more])

    @contextmanager
    def respond(
        self, body: bytes, content_type: str, methods: Collection[str] = CALLS
    ) -> Iterator[None]:
        """Answer calls, or other methods, with the body of an HTTP response."""
        self.body, self.content_type, self.methods = body, content_type, methods
        try:
            yield
        finally:
            self.body = None

    @contextmanager
    def respond_without_end(
        self, methods: Collection[str] = CALLS, *, is_compressed: bool = False
    ) -> Iterator[None]:
        """Answer with JSON of 64 MB without an end, compressed a thousandfold if wanted."""
        self.is_endless, self.is_compressed = True, is_compressed
        try:
            with self.respond(b"", "application/json", methods):
                yield
        finally:
            self.is_endless = False

    @contextmanager
    def never_respond(self, methods: Collection[str]) -> Iterator[None]:
        """Take requests, which ``unanswered`` lists, and wait until the client gives up."""
        self.is_silent, self.unanswered = True, []
        try:
            with self.respond(b"", "application/json", methods):
                yield
        finally:
            self.is_silent = False

    async def _endless_body(self) -> AsyncIterator[bytes]:
        compressor = zlib.compressobj(wbits=31)
        for number in range(64):
            part = (b"" if number else b'{"a": "') + b"a" * 1_000_000
            if self.is_compressed:
                part = compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)
            yield part
            await asyncio.sleep(0)  # the client may have closed the connection

    def _response(self, message: dict[str, Any]) -> Response:
        assert self.body is not None
        if self.is_endless:
            headers = {"content-encoding": "gzip"} if self.is_compressed else None
            return StreamingResponse(
                self._endless_body(), headers=headers, media_type=self.content_type
            )
        body = self.body.replace(b"{id}", json.dumps(message.get("id")).encode())
        return Response(body, media_type=self.content_type)

    def guard(self, app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if self.body is None or scope.get("method") != "POST":
                await app(scope, receive, send)
                return
            request = await Request(scope, receive).body()
            message = json.loads(request)
            if message["method"] in self.methods:
                if self.is_silent:
                    self.unanswered.append(message["method"])
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    return
                await self._response(message)(scope, receive, send)
                return
            sent = False

            async def replay() -> Message:
                nonlocal sent
                if sent:
                    return await receive()
                sent = True
                return {"type": "http.request", "body": request, "more_body": False}

            await app(scope, replay, send)

        return handle


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


@asynccontextmanager
async def run_hostile_mcp() -> AsyncIterator[HostileMcp]:
    """Run the server on a free port of this machine."""
    port = free_port()
    hostile = HostileMcp(f"http://127.0.0.1:{port}/mcp")

    async def call_tool(_: Any, __: Any) -> CallToolResult:
        assert hostile.result is not None
        return hostile.result

    async def list_tools(_: Any, __: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name=name, input_schema=_ANY) for name in TOOL_NAMES])

    mcp: Server[Any] = Server("hostile", on_call_tool=call_tool, on_list_tools=list_tools)
    app = hostile.guard(mcp.streamable_http_app())
    server = _Uvicorn(uvicorn.Config(app, port=port, log_config=None))
    task = asyncio.create_task(server._serve())
    await server.listening.wait()
    try:
        yield hostile
    finally:
        server.should_exit = True
        await task
