"""OpenAI Agents SDK: pip install openai-agents."""

import asyncio
import os

from agents import Agent, Runner
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STRICT = bool(os.environ.get("STRICT_SCHEMAS"))  # both values work
OPTIONS = {
    "client_session_timeout_seconds": 60,  # default 5: too short for a cold start
    "use_structured_content": bool(os.environ.get("STRUCTURED_CONTENT")),
}  # both values work


async def main(question: str) -> None:
    if URL:
        server = MCPServerStreamableHttp({"url": URL, "timeout": 60}, **OPTIONS)
    else:
        server = MCPServerStdio({"command": "sightline", "args": ["serve"]}, **OPTIONS)
    async with server:
        config = {"convert_schemas_to_strict": STRICT}
        agent = Agent("Librarian", model="gpt-4.1", mcp_servers=[server], mcp_config=config)
        print((await Runner.run(agent, question)).final_output)


asyncio.run(main("Which picture shows a bicycle? Look at it."))
