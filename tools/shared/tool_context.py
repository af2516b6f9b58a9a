"""How a tool reaches its dependencies."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context

from sightline.tools.shared.dependencies import Dependencies

#: The context that the SDK hands to every call.
Call = Context[Dependencies, Any]


def dependencies(ctx: Call) -> Dependencies:
    """What the lifespan built."""
    return ctx.request_context.lifespan_context


def principal() -> str | None:
    """Whose token this call carries; ``None`` over stdio and where no token is asked for."""
    token = get_access_token()
    return None if token is None else token.client_id


class ProgressReports:
    """Sends progress from code that cannot await; all of it is sent when the block ends."""

    def __init__(self, ctx: Call) -> None:
        self._ctx = ctx
        self._sending: list[asyncio.Task[None]] = []

    def tell(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report; ``done`` must not shrink within a call."""
        self._sending.append(asyncio.create_task(self._ctx.report_progress(done, total, message)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A client that has left is told nothing, and what the block did stands.
        await asyncio.gather(*self._sending, return_exceptions=True)
