"""Limits of a principal: open requests, event streams and body bytes.

It must run after authentication. The body of a request without a valid token is never read.
"""

from __future__ import annotations

from contextlib import ExitStack

from mcp.shared.inbound import MCP_METHOD_HEADER
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.config.hosts import MCP_PATH
from sightline.server.http.fair_budget import FairBudget, principal_of
from sightline.server.http.http_limits import HttpLimits

_LISTEN = "subscriptions/listen"


class _RefusedError(Exception):
    """Carries the response to a request that exceeds a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.response = PlainTextResponse(message + "\n", 429, {"Retry-After": "1"})


class RequestBudgets:
    """ASGI middleware that answers 429 to requests above a limit."""

    def __init__(self, app: ASGIApp, *, max_requests: int, limits: HttpLimits) -> None:
        self._app = app
        self._requests = FairBudget(max_requests)
        self._streams = FairBudget(max_requests, limits.max_streams_each)
        self._body_bytes = FairBudget(limits.max_total_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = principal_of(scope) if scope["type"] == "http" else None
        if principal is None:
            await self._app(scope, receive, send)
            return
        try:
            with ExitStack() as held:
                _hold(held, self._requests, principal, 1, "too many open requests")
                if is_stream(scope):
                    _hold(held, self._streams, principal, 1, "too many open event streams")
                body = self._counted(receive, principal, held)
                await self._app(scope, body, send)
        except _RefusedError as refused:
            # Raised by `receive`, so nothing was sent yet.
            await refused.response(scope, receive, send)

    def _counted(self, receive: Receive, principal: str, held: ExitStack) -> Receive:
        async def receive_counted() -> Message:
            message = await receive()
            if body := message.get("body", b""):
                # A call keeps its arguments, so the bytes are held until the response is complete.
                _hold(held, self._body_bytes, principal, len(body), "too many bytes in requests")
            return message

        return receive_counted


def _hold(held: ExitStack, budget: FairBudget, principal: str, amount: int, refusal: str) -> None:
    if not budget.acquire(principal, amount):
        raise _RefusedError(refusal)
    held.callback(budget.release, principal, amount)


def is_stream(scope: Scope) -> bool:
    """Return whether the response to a request is an event stream without an end."""
    if scope["path"] != MCP_PATH:
        return False
    # The SDK rejects a request whose header does not match its body.
    return scope["method"] == "GET" or Headers(scope=scope).get(MCP_METHOD_HEADER) == _LISTEN
