"""Google Gen AI SDK: pip install google-genai mcp."""

import asyncio
import os
from base64 import b64decode

from google.genai import Client, types
from mcp import Client as McpClient
from mcp import StdioServerParameters

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
STDIO = StdioServerParameters(command="sightline", args=["serve"])


async def main(question):
    async with McpClient(URL or STDIO, read_timeout_seconds=60) as mcp:
        tools = [{"function_declarations": list(map(declare, (await mcp.list_tools()).tools))}]
        chat = Client().aio.chats.create(model="gemini-3-flash-preview", config={"tools": tools})
        answer = await chat.send_message(question)
        while calls := answer.function_calls:
            results = [await mcp.call_tool(call.name, call.args) for call in calls]
            answer = await chat.send_message(list(map(respond, calls, results)))
        print(answer.text)


def declare(t):
    return {"name": t.name, "description": t.description, "parameters_json_schema": t.input_schema}


def respond(call, result):
    images = [b64decode(block.data) for block in result.content if block.type == "image"]
    parts = [types.FunctionResponsePart.from_bytes(data=i, mime_type="image/jpeg") for i in images]
    response = {"result": result.content[0].text}
    return types.Part.from_function_response(name=call.name, response=response, parts=parts)


asyncio.run(main("Which picture shows a bicycle? Look at it."))
