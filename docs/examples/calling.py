"""What the examples share: a client of a server, and calls that fail loudly."""

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
    """The structured result of one call; raises RuntimeError with what the tool said."""
    return dict((await whole(client, tool, **arguments)).structured_content or {})


async def whole(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """The result with its pictures."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise RuntimeError(" ".join(texts))
    return result


def say(line: str) -> None:
    """To the terminal."""
    sys.stdout.write(line + "\n")


def main(example: Example) -> None:
    """Run it against the server and collection of the command line."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8765/mcp"
    collection = sys.argv[2] if len(sys.argv) > 2 else "demo"

    async def run() -> None:
        async with Client(url) as client:
            found = await example(client, collection, say)
            say(json.dumps(found, ensure_ascii=False, indent=2))

    asyncio.run(run())
