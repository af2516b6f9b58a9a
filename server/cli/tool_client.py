"""Calls a tool through an in-memory MCP client, as an agent does."""

from __future__ import annotations

import asyncio
from typing import Any

from sightline.server.config import Settings
from sightline.storage.errors import SightlineError


class ToolFailedError(SightlineError):
    """A tool call failed; the message is that of the tool."""


def call_tool(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the structured result of a tool call, or raise ToolFailedError."""
    return asyncio.run(_call(settings, tool, arguments))


async def _call(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    # The SDK takes a second to import, which `sightline --help` must not wait for.
    from mcp import Client
    from mcp.types import TextContent

    from sightline.server.app import create_app

    async with Client(create_app(settings)) as client:
        result = await client.call_tool(tool, arguments)
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise ToolFailedError(" ".join(texts))
    if result.structured_content is None:
        raise ToolFailedError(f"{tool} returned no structured result")
    return dict(result.structured_content)
