"""LlamaIndex: pip install llama-index-core llama-index-tools-mcp llama-index-llms-openai."""

import asyncio
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ImageBlock, TextBlock
from llama_index.llms.openai import OpenAIResponses
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself


class Client(BasicMCPClient):
    async def call_tool(self, *args, **kwargs):  # the original returns images as text
        content = (await super().call_tool(*args, **kwargs)).content
        images = [
            ImageBlock(image=b.data, image_mimetype=b.mime_type)
            for b in content
            if b.type == "image"
        ]
        return [TextBlock(text=block.text) for block in content if block.type == "text"] + images


async def main(question):
    client = Client(URL or "sightline", args=[] if URL else ["serve"], timeout=60)
    tools = await McpToolSpec(client).to_tool_list_async()
    agent = FunctionAgent(tools=tools, llm=OpenAIResponses(model="gpt-4.1"), timeout=300)
    print(await agent.run(question))


asyncio.run(main("Which picture shows a bicycle? Look at it."))
