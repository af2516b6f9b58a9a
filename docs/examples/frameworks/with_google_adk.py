"""Google ADK: pip install google-adk mcp."""

import asyncio
import base64
import os

from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
from google.adk.tools import mcp_tool
from google.genai.types import Part
from mcp import StdioServerParameters

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = StdioServerParameters(command="sightline", args=["serve"])
HTTP = mcp_tool.StreamableHTTPConnectionParams(url=URL or "", timeout=60)  # default 5
CONNECTION = HTTP if URL else mcp_tool.StdioConnectionParams(server_params=STDIO, timeout=60)


def show_images(tool, args, tool_context, tool_response):  # ADK sends them as text
    images = [block for block in tool_response["content"] if block["type"] == "image"]
    texts = [block for block in tool_response["content"] if block["type"] == "text"]
    parts = [
        Part.from_bytes(data=base64.b64decode(b["data"]), mime_type=b["mimeType"]) for b in images
    ]
    return {"content": texts + parts}


tools = [mcp_tool.McpToolset(connection_params=CONNECTION)]
model = "gemini-3-flash-preview"
agent = LlmAgent(name="a", model=model, tools=tools, after_tool_callback=show_images)
question = "Which picture shows a bicycle? Look at it."
asyncio.run(InMemoryRunner(agent).run_debug(question))
