"""Fake OpenAI-compatible server over real HTTP that can misbehave.

It uses one of ``behaviors`` per request, then ``default_behavior``. It runs in the event loop of
the test, so that tests wait for events instead of sleeping.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MODEL = "test-model"

#: Answers one chat request over ASGI.
Behavior = Callable[["FakeVlmServer", dict[str, Any], Receive, Send], Awaitable[None]]


class ConnectionClosedError(Exception):
    """Raised in the server to close a connection in the middle of a response."""


class FakeVlmServer:
    """The ASGI application; records the requests that it received."""

    def __init__(self, *, models: tuple[str, ...] = (MODEL,), answer: str = "yes") -> None:
        self.models = models
        self.answer = answer
        self.behaviors: deque[Behavior] = deque()
        self.default_behavior: Behavior = well
        self.questions: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = 0
        self.max_running = 0
        self.connections = 0
        #: Open connections. A test may abort them, as the kernel does for a killed process.
        self.transports: set[asyncio.Transport] = set()
        #: Set while there are no connections.
        self.quiet = asyncio.Event()
        self.quiet.set()
        #: Set by the test to release waiting responses.
        self.released = asyncio.Event()
        #: Set when a client disconnects before the response.
        self.disconnected = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def arrivals(self, count: int) -> None:
        """Wait until ``count`` chat requests have arrived since the start."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.questions) >= count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/v1/models":
            await reply(send, 200, {"data": [{"id": model} for model in self.models]})
        elif scope["path"] != "/v1/chat/completions":
            await reply(send, 404, {"detail": "Not Found"})
        else:
            body = json.loads(await _body(receive))
            await self._question(scope, body, receive, send)

    async def _question(
        self, scope: Scope, body: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        async with self._arrived:
            self.questions.append(body)
            self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
            self._arrived.notify_all()
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        try:
            if body["model"] not in self.models:
                message = f"The model `{body['model']}` does not exist."
                await reply(send, 404, {"error": {"message": message, "code": 404}})
                return
            behavior = self.behaviors.popleft() if self.behaviors else self.default_behavior
            await behavior(self, body, receive, send)
        finally:
            self.running -= 1


async def well(endpoint: FakeVlmServer, body: dict[str, Any], _: Receive, send: Send) -> None:
    """Answer at once."""
    await reply(send, 200, completion(endpoint.answer, body["model"]))


async def when_released(
    endpoint: FakeVlmServer, body: dict[str, Any], receive: Receive, send: Send
) -> None:
    """Answer when the test sets ``released``; detects clients that disconnect earlier."""
    released = asyncio.create_task(endpoint.released.wait())
    disconnect = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({released, disconnect}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (released, disconnect):
            task.cancel()
        await asyncio.gather(released, disconnect, return_exceptions=True)
    if endpoint.released.is_set():
        await well(endpoint, body, receive, send)
    else:
        endpoint.disconnected.set()


async def closes_connection(_e: FakeVlmServer, _b: dict[str, Any], _r: Receive, send: Send) -> None:
    """Send half of a response, then close the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"choices": [', "more_body": True})
    raise ConnectionClosedError


def sends(data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Behavior:
    """Return a behavior that sends exactly these bytes."""

    async def behave(_e: FakeVlmServer, _b: dict[str, Any], _r: Receive, send: Send) -> None:
        await _send(send, status, data, headers or {})

    return behave


def says(text: str, **more: object) -> Behavior:
    """Return a behavior that answers with this text; ``more`` goes into the choice."""

    async def behave(_e: FakeVlmServer, body: dict[str, Any], _r: Receive, send: Send) -> None:
        await reply(send, 200, completion(text, body["model"], **more))

    return behave


def rejects(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Behavior:
    """Return a behavior that sends an error in OpenAI's format."""
    return sends(json.dumps({"error": {"message": message}}).encode(), status, headers)


def rejects_field(field: str) -> Behavior:
    """Return a behavior that rejects requests with an unsupported ``field``."""

    async def behave(
        endpoint: FakeVlmServer, body: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        if field in body:
            await reply(send, 400, {"error": {"message": f"Unknown parameter: '{field}'."}})
        else:
            await well(endpoint, body, receive, send)

    return behave


def fails_on(word: str, message: str) -> Behavior:
    """Return a behavior that fails for requests with this word, as a model that crashes on it."""

    async def behave(
        endpoint: FakeVlmServer, body: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        fails = word in json.dumps(body["messages"])
        await (rejects(500, message) if fails else well)(endpoint, body, receive, send)

    return behave


async def endless(_e: FakeVlmServer, _b: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send an endless response until the client disconnects."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    disconnect = asyncio.create_task(_wait_for_disconnect(receive))
    while not disconnect.done():
        await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
        await asyncio.sleep(0)
    await disconnect


def completion(text: str, model: str = MODEL, **more: object) -> dict[str, object]:
    """Return a chat completion in the format of OpenAI and vLLM."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


async def reply(send: Send, status: int, body: object) -> None:
    """Send a JSON response."""
    await _send(send, status, json.dumps(body).encode(), {"content-type": "application/json"})


@asynccontextmanager
async def serving(endpoint: FakeVlmServer, port: int = 0) -> AsyncIterator[str]:
    """Serve on localhost and yield the base URL with ``/v1``. Port 0 is a free port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    server = _Server(
        uvicorn.Config(
            endpoint,
            http=_tracking(endpoint),
            lifespan="off",
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        endpoint.released.set()
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to pytest."""
        yield


def _tracking(endpoint: FakeVlmServer) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, extended to count connections."""

    class TrackingProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            endpoint.connections += 1
            endpoint.transports.add(transport)
            endpoint.quiet.clear()
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            endpoint.connections -= 1
            endpoint.transports.discard(self.transport)
            if not endpoint.connections:
                endpoint.quiet.set()
            super().connection_lost(exc)

    return TrackingProtocol


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    data, more = b"", True
    while more:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    return data


async def _send(send: Send, status: int, data: bytes, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(data)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": data})
