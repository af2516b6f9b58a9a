"""Haystack: pip install haystack-ai mcp-haystack."""

import json
import os

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage, ImageContent, TextContent
from haystack_integrations.tools.mcp import MCPToolset, StdioServerInfo, StreamableHttpServerInfo

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = StdioServerInfo(command="sightline", args=["serve"])


def show_images(result):  # without this, Haystack sends them as text
    blocks = json.loads(result)["content"]
    images = [ImageContent(b["data"], b["mimeType"]) for b in blocks if b["type"] == "image"]
    return [TextContent(b["text"]) for b in blocks if b["type"] == "text"] + images


raw = {"raw_result": True, "handler": show_images}
server = StreamableHttpServerInfo(url=URL) if URL else STDIO
output = dict.fromkeys(("view_image", "annotate_image", "search_images", "answer_question"), raw)
tools = MCPToolset(server, None, 60, 60, outputs_to_string=output)  # timeouts in seconds
agent = Agent(chat_generator=OpenAIResponsesChatGenerator(model="gpt-4.1"), tools=tools)
question = ChatMessage.from_user("Which picture shows a bicycle? Look at it.")
print(agent.run(messages=[question])["messages"][-1].text)
tools.close()
