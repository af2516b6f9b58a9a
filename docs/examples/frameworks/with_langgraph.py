"""LangGraph: pip install langgraph langchain langchain-mcp-adapters langchain-openai."""

import asyncio
import os

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = {"transport": "stdio", "command": "sightline", "args": ["serve"]}
HTTP = {"transport": "http", "url": URL, "timeout": 60}


async def main(question: str) -> None:
    client = MultiServerMCPClient({"sightline": HTTP if URL else STDIO})
    async with client.session("sightline") as session:  # one process for all calls
        # Chat Completions, the default, does not accept images in results of tools.
        model = ChatOpenAI(model="gpt-4.1", use_responses_api=True)
        agent = create_agent(model, await load_mcp_tools(session))
        result = await agent.ainvoke({"messages": [{"role": "user", "content": question}]})
        print(result["messages"][-1].content)


asyncio.run(main("Which picture shows a bicycle? Look at it."))
