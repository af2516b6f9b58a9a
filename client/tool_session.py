"""An MCP session that is opened again after it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from sightline.client.tool_replies import ToolCallError, first_problem
from sightline.storage.errors import SightlineError

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult

logger = logging.getLogger(__name__)


class ConnectionFailedError(SightlineError):
    """The server cannot be reached, refused the connection, or lost it."""


@dataclass(eq=False)
class _Opened:
    """A client in a task of its own, which must open and close it."""

    client: asyncio.Future[Client]
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    #: Why the connection ended by itself.
    failure: Exception | None = None


class ToolSession:
    """Calls tools through an MCP client; replaces the client after a lost connection.

    ``address`` is for messages. ``explain`` returns the error to raise for a failed connection. All
    methods run on one event loop. Use it with ``async with``.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Client]],
        address: str,
        explain: Callable[[BaseException], SightlineError | None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._address = address
        self._explain = explain
        self._opened: _Opened | None = None
        self._is_closed = False
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._client()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        if self._opened is not None:
            await self._close(self._opened)

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool. After a lost connection, repeat the call if that changes nothing.

        Raises ConnectionFailedError, and ToolCallError if the server knows no such tool.
        """
        opened = await self._client()
        try:
            return await opened.client.result().call_tool(tool, arguments)
        except Exception as error:
            if not _is_lost(error):
                raise self._failed(error) from error
            await self._close(opened)
            lost = opened.failure or error
            logger.info("%s: the connection was lost (%r)", self._address, lost)
        opened = await self._client()
        try:
            if await self._may_repeat(opened, tool):
                return await opened.client.result().call_tool(tool, arguments)
        except Exception as error:
            if _is_lost(error):
                await self._close(opened)
            raise self._failed(error, opened) from error
        raise ConnectionFailedError(
            f"The connection to {self._address} was lost during {tool}, which may have been "
            "carried out. Check before you call it again."
        ) from lost

    async def _may_repeat(self, opened: _Opened, tool: str) -> bool:
        tools = (await opened.client.result().list_tools()).tools
        hints = next((each.annotations for each in tools if each.name == tool), None)
        return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)

    async def _client(self) -> _Opened:
        async with self._opening:
            if self._is_closed:
                raise ConnectionFailedError(f"{self._address}: the client was closed.")
            if self._opened is None or self._opened.task is None or self._opened.task.done():
                opened = _Opened(asyncio.get_running_loop().create_future())
                opened.task = asyncio.create_task(self._hold(opened), name="MCP session")
                try:
                    await opened.client
                except Exception as error:
                    raise self._failed(error) from error
                except asyncio.CancelledError:
                    opened.task.cancel()
                    raise
                self._opened = opened
            return self._opened

    async def _hold(self, opened: _Opened) -> None:
        try:
            async with self._connect() as client:
                opened.client.set_result(client)
                await opened.closing.wait()
        except Exception as error:  # noqa: BLE001 - raised in `_client` or by the next call
            opened.failure = error
            if not opened.client.done():
                opened.client.set_exception(error)

    async def _close(self, opened: _Opened) -> None:
        if self._opened is opened:
            self._opened = None
        opened.closing.set()
        if opened.task is not None:
            await asyncio.gather(opened.task, return_exceptions=True)

    def _failed(self, error: Exception, opened: _Opened | None = None) -> SightlineError:
        leaf = _first_leaf((opened.failure if opened is not None else None) or error)
        if isinstance(leaf, SightlineError):
            return leaf
        if isinstance(leaf, ValidationError):
            return ToolCallError(f"{self._address}: the reply is no MCP: {first_problem(leaf)}.")
        return self._explain(leaf) or ToolCallError(str(leaf) or type(leaf).__name__)


def _first_leaf(error: BaseException) -> BaseException:
    """Return the first error inside of exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_lost(error: Exception) -> bool:
    """Return whether the session cannot be used any more."""
    import anyio
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    if isinstance(error, MCPError):
        # The second is how the SDK reports HTTP status 404 for a session.
        return error.code == CONNECTION_CLOSED or error.message == "Session terminated"
    return isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError)
