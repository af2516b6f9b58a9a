"""CrewAI: pip install crewai mcp."""

import asyncio
import os

from crewai import Agent
from crewai.mcp import MCPServerHTTP, MCPServerStdio

URL = os.environ.get("SIGHTLINE_URL")  # without it, the program starts the server itself
STDIO = MCPServerStdio(command="sightline", args=["serve"])

servers = [MCPServerHTTP(url=URL) if URL else STDIO]  # a call may take 30 s, which is fixed
agent = Agent(role="Librarian", goal="Find", backstory="-", llm="openai/gpt-4.1", mcps=servers)
print(asyncio.run(agent.kickoff_async("Which picture shows a bicycle? Look at it.")).raw)
