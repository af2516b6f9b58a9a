"""Shared code of the examples: call tools and print results."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

Say = Callable[[str], None]
Example = Callable[[Client, str, Say], Awaitable[Any]]


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the result of a call; raise RuntimeError for a tool error."""
    return result_of(await call_tool(client, tool, **arguments))


def result_of(result: CallToolResult) -> dict[str, Any]:
    """Return the JSON of a result, which is in its first text block."""
    first = result.content[0]
    return dict(json.loads(first.text)) if isinstance(first, TextContent) else {}


async def call_tool(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """Return the complete result, including images."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise RuntimeError(" ".join(texts))
    return result


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


def main(example: Example) -> None:
    """Run an example with the server and collection of the command line."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8765/mcp"
    collection = sys.argv[2] if len(sys.argv) > 2 else "demo"

    async def run() -> None:
        async with Client(url) as client:
            result = await example(client, collection, say)
            say(json.dumps(result, ensure_ascii=False, indent=2))

    asyncio.run(run())
