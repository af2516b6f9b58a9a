"""Ending a server without cutting off who is being answered.

Three things keep a connection open: a call that runs, an answer that is being sent, and a stream on
which a client waits for news. The first two are worth waiting for, the last is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp, Receive, Scope, Send

#: For answers whose call has ended; a stream for news may look like one.
_SENDING_SECONDS = 1.0


class InFlight:
    """Counts what is going on, and can wait until nothing is. For one event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more thing goes on, for the length of the block."""
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Whether nothing goes on, waiting for that so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()


class CountPosts:
    """ASGI middleware: calls come by POST, so a POST in flight is one that is being answered."""

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            with self._in_flight.one():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def drain(calls: InFlight, posts: InFlight, *, seconds: float, hurry: asyncio.Event) -> None:
    """Let calls end for so long and their answers leave, or return when told to hurry."""

    async def calm() -> None:
        await calls.wait_idle(seconds)
        await posts.wait_idle(_SENDING_SECONDS)

    tasks = {asyncio.create_task(calm()), asyncio.create_task(hurry.wait())}
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def stop(server: uvicorn.Server, running: asyncio.Task[None]) -> None:
    """End the streams and the server, and return when it has ended."""
    server.should_exit = True
    # sse-starlette has one flag for all servers of a process, and never takes it back.
    AppStatus.should_exit = True
    try:
        await running
    finally:
        AppStatus.should_exit = False
