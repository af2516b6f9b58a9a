"""Pydantic AI: pip install "pydantic-ai-slim[mcp,openai]"."""

import asyncio
import os

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
SERVER = URL or StdioTransport("sightline", ["serve"])


async def main(question: str) -> None:
    toolset = MCPToolset(SERVER, init_timeout=60, read_timeout=60)
    async with Agent("openai-chat:gpt-4.1", toolsets=[toolset]) as agent:
        print((await agent.run(question)).output)


asyncio.run(main("Which picture shows a bicycle? Look at it."))
