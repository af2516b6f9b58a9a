"""CrewAI: pip install crewai "crewai-tools[mcp]"."""

import os

from crewai import Agent
from crewai_tools import MCPServerAdapter
from mcp import StdioServerParameters

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = StdioServerParameters(command="sightline", args=["serve"])
HTTP = {"url": URL, "transport": "streamable-http", "timeout": 60}

with MCPServerAdapter(HTTP if URL else STDIO, connect_timeout=60) as tools:
    agent = Agent(role="Librarian", goal="Find", backstory="-", llm="openai/gpt-4.1", tools=tools)
    print(agent.kickoff("Which picture shows a bicycle? Look at it.").raw)
