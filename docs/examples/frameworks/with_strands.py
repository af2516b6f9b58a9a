"""Strands Agents: pip install "strands-agents[openai]"."""

import os

from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from strands import Agent
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = StdioServerParameters(command="sightline", args=["serve"])

with MCPClient(
    lambda: streamable_http_client(URL) if URL else stdio_client(STDIO), startup_timeout=60
) as client:
    agent = Agent(
        model=OpenAIModel(model_id="gpt-4.1"), tools=client.list_tools_sync(), callback_handler=None
    )
    print(agent("Which picture shows a bicycle? Look at it."))
