"""Graceful shutdown: finish running calls and their responses before the end.

Open connections have three causes: a running call, a response that is being sent, and a stream on
which a client waits for notifications. Shutdown waits for the first two only.
"""

from __future__ import annotations

import asyncio

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.server.mcp_server.server import InFlight

#: Wait for responses of finished calls. It is short, because a notification stream can be a POST.
_RESPONSE_SECONDS = 1.0


class InFlightMiddleware:
    """ASGI middleware that tracks POST requests, which carry all calls."""

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            with self._in_flight.track():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def drain(
    calls: InFlight, posts: InFlight, *, timeout_seconds: float, force_shutdown: asyncio.Event
) -> None:
    """Wait for calls and their responses, until the timeout or ``force_shutdown``."""

    async def wait_idle() -> None:
        await calls.wait_idle(timeout_seconds)
        await posts.wait_idle(_RESPONSE_SECONDS)

    tasks = {asyncio.create_task(wait_idle()), asyncio.create_task(force_shutdown.wait())}
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def stop(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    """Close the streams and stop the server."""
    server.should_exit = True
    # This flag of sse-starlette is global to the process and is never reset by the library.
    AppStatus.should_exit = True
    try:
        await task
    finally:
        AppStatus.should_exit = False
