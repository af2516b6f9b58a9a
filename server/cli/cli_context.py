"""Opens the tool dependencies and calls tools for CLI commands."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sightline.server.config import Settings
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime
from sightline.storage.errors import SightlineError
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_results import read_result


@asynccontextmanager
async def open_dependencies(settings: Settings) -> AsyncIterator[Dependencies]:
    """Open the dependencies of the tools, and wait without limit for models to load."""
    patient = settings.replace(startup_timeout_seconds=math.inf)
    async with Runtime(patient, Metrics(), uses_llama_index=False) as runtime:
        yield runtime.dependencies()


class ToolFailedError(SightlineError):
    """A tool call failed; the message is that of the tool."""


async def call_tool(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool through an in-memory MCP client, as an agent does.

    Return the structured result, or raise ToolFailedError.
    """
    # The SDK takes a second to import, which `sightline --help` must not wait for.
    from mcp import Client
    from mcp.types import TextContent

    from sightline.server.app import create_app

    async with Client(create_app(settings, uses_llama_index=False, preloads=False)) as client:
        result = await client.call_tool(tool, arguments)
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise ToolFailedError(" ".join(texts))
    return read_result(result)
