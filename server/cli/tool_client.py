"""Commands for people call the same tools as an agent does, through an in-memory MCP client."""

from __future__ import annotations

import asyncio
from typing import Any

from sightline.server.config.settings import Settings
from sightline.storage.errors import SightlineError


class ToolFailedError(SightlineError):
    """A tool refused or failed; the message is the tool's own."""


def call_tool(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The structured result of one call; raises ToolFailedError with what the tool said."""
    return asyncio.run(_call(settings, tool, arguments))


async def _call(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    # Imported here: the SDK takes a second, which `sightline --help` need not wait for.
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
