"""HTTP requests of a principal, of any kind, held to a rate: 429 with ``Retry-After`` beyond it.

This guards the server. What a model should read of its own calls is a tool's error (`allowance`).
"""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.server.mcp_server.rate_limit import Allowance


class Throttle:
    """ASGI middleware; stands behind authentication."""

    def __init__(self, app: ASGIApp, allowance: Allowance) -> None:
        self._app = app
        self._allowance = allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        user = scope.get("user")
        if user is not None and user.is_authenticated:
            wait = self._allowance.take(user.username)
            if wait:
                headers = {"Retry-After": str(wait)}
                refusal = PlainTextResponse("too many requests\n", 429, headers)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
