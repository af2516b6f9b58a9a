"""AutoGen: pip install autogen-agentchat "autogen-ext[mcp,openai]" "mcp<2"."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams, StreamableHttpServerParams

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
LINKS = {**os.environ, "SIGHTLINE_IMAGES": "link"}  # it would send images as text


async def main(question: str) -> None:
    if URL:
        server = StreamableHttpServerParams(url=f"{URL}?images=link", timeout=60)
    else:  # the default of read_timeout_seconds is 5
        options = {"read_timeout_seconds": 60, "env": LINKS}
        server = StdioServerParams(command="sightline", args=["serve"], **options)
    async with McpWorkbench(server) as workbench:
        model = OpenAIChatCompletionClient(model="gpt-4.1")
        agent = AssistantAgent("librarian", model, workbench=workbench, max_tool_iterations=10)
        print((await agent.run(task=question)).messages[-1].content)


asyncio.run(main("Which picture shows a bicycle? Look at it."))
