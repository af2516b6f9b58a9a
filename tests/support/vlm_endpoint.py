"""An OpenAI-compatible endpoint over real HTTP that misbehaves when it is told to.

It answers from a list of behaviours, one a question, and then well. It runs in the test's own event
loop, so that tests wait for what happens in it through events and never by sleeping.
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

#: Answers one question over ASGI.
Behaviour = Callable[["VlmEndpoint", dict[str, Any], Receive, Send], Awaitable[None]]


class BrokenOffError(Exception):
    """Raised inside the server to break a connection in the middle of an answer."""


class VlmEndpoint:
    """The ASGI application, and what it saw."""

    def __init__(self, *, models: tuple[str, ...] = (MODEL,), answer: str = "yes") -> None:
        self.models = models
        self.answer = answer
        self.behaviours: deque[Behaviour] = deque()
        #: What is done when the list is empty.
        self.otherwise: Behaviour = well
        self.questions: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = 0
        self.most_running = 0
        self.connections = 0
        #: Of the open connections: a test may abort them, as the kernel does for a killed process.
        self.transports: set[asyncio.Transport] = set()
        #: Set while no connection is open.
        self.quiet = asyncio.Event()
        self.quiet.set()
        #: Set by the test to let answers go that wait for it.
        self.released = asyncio.Event()
        #: Set when a client has gone before it was answered.
        self.abandoned = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def arrivals(self, count: int) -> None:
        """Return when ``count`` questions have come since the start."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.questions) >= count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
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
        self.most_running = max(self.most_running, self.running)
        try:
            if body["model"] not in self.models:
                message = f"The model `{body['model']}` does not exist."
                await reply(send, 404, {"error": {"message": message, "code": 404}})
                return
            behaviour = self.behaviours.popleft() if self.behaviours else self.otherwise
            await behaviour(self, body, receive, send)
        finally:
            self.running -= 1


async def well(endpoint: VlmEndpoint, body: dict[str, Any], _: Receive, send: Send) -> None:
    """The answer, at once."""
    await reply(send, 200, completion(endpoint.answer, body["model"]))


async def when_released(
    endpoint: VlmEndpoint, body: dict[str, Any], receive: Receive, send: Send
) -> None:
    """The answer when the test allows it; notices a client that goes before."""
    released = asyncio.create_task(endpoint.released.wait())
    gone = asyncio.create_task(_departure(receive))
    try:
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (released, gone):
            task.cancel()
        await asyncio.gather(released, gone, return_exceptions=True)
    if endpoint.released.is_set():
        await well(endpoint, body, receive, send)
    else:
        endpoint.abandoned.set()


async def broken_off(_e: VlmEndpoint, _b: dict[str, Any], _r: Receive, send: Send) -> None:
    """Half of an answer, then the connection is gone."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"choices": [', "more_body": True})
    raise BrokenOffError


def sends(data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Behaviour:
    """Exactly these bytes."""

    async def behave(_e: VlmEndpoint, _b: dict[str, Any], _r: Receive, send: Send) -> None:
        await _send(send, status, data, headers or {})

    return behave


def says(text: str, **more: object) -> Behaviour:
    """A well-formed answer with this text; ``more`` goes into its choice."""

    async def behave(_e: VlmEndpoint, body: dict[str, Any], _r: Receive, send: Send) -> None:
        await reply(send, 200, completion(text, body["model"], **more))

    return behave


def refuses(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Behaviour:
    """An error in OpenAI's form."""
    return sends(json.dumps({"error": {"message": message}}).encode(), status, headers)


def without(field: str) -> Behaviour:
    """Refuses questions that have ``field``, as servers do that do not know it."""

    async def behave(
        endpoint: VlmEndpoint, body: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        if field in body:
            await reply(send, 400, {"error": {"message": f"Unknown parameter: '{field}'."}})
        else:
            await well(endpoint, body, receive, send)

    return behave


async def endless(_e: VlmEndpoint, _b: dict[str, Any], receive: Receive, send: Send) -> None:
    """An answer without end, until the client goes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(_departure(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
        await asyncio.sleep(0)
    await gone


def completion(text: str, model: str = MODEL, **more: object) -> dict[str, object]:
    """A chat completion as OpenAI and vLLM write it."""
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
    """A JSON answer."""
    await _send(send, status, json.dumps(body).encode(), {"content-type": "application/json"})


@asynccontextmanager
async def serving(endpoint: VlmEndpoint, port: int = 0) -> AsyncIterator[str]:
    """Serve over HTTP on this machine; yields the base URL, with its ``/v1``. 0 is a free port."""
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
        """Signals are the test run's own."""
        yield


def _tracking(endpoint: VlmEndpoint) -> type[asyncio.Protocol]:
    """uvicorn's protocol, counting the endpoint's open connections."""

    class Tracking(H11Protocol):
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

    return Tracking


async def _departure(receive: Receive) -> None:
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
