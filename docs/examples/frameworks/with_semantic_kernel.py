"""Semantic Kernel: pip install "semantic-kernel[mcp]"."""

import asyncio
import os

from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.connectors.mcp import MCPStdioPlugin, MCPStreamableHttpPlugin

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
LINKS = {**os.environ, "SIGHTLINE_IMAGES": "link"}  # it would send images as text
OPTIONS = {"name": "sightline", "load_prompts": False, "request_timeout": 60}


async def main(question: str) -> None:
    if URL:
        plugin = MCPStreamableHttpPlugin(url=f"{URL}?images=link", **OPTIONS)
    else:
        plugin = MCPStdioPlugin(command="sightline", args=["serve"], env=LINKS, **OPTIONS)
    async with plugin:
        service = OpenAIChatCompletion(ai_model_id="gpt-4.1")
        agent = ChatCompletionAgent(service=service, name="Librarian", plugins=[plugin])
        print(await agent.get_response(question))


asyncio.run(main("Which picture shows a bicycle? Look at it."))
