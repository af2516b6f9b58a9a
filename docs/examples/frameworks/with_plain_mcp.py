"""Plain MCP in Python: pip install mcp openai."""

import asyncio
import json
import os

from mcp import Client, StdioServerParameters
from openai import OpenAI

MCP = os.environ.get("MCP_URL") or StdioServerParameters(command="sightline", args=["serve"])


def show(b):
    image = {"type": "input_image", "image_url": f"data:image/jpeg;base64,{getattr(b, 'data', '')}"}
    return image if b.type == "image" else {"type": "input_text", "text": b.text}


async def main(history):
    async with Client(MCP, read_timeout_seconds=60) as mcp:
        listed = (await mcp.list_tools()).tools
        names = [{"name": t.name, "description": t.description} for t in listed]
        schemas = [{"parameters": t.input_schema, "strict": False} for t in listed]
        tools = [{"type": "function"} | name | schema for name, schema in zip(names, schemas)]
        while history[-1].get("role") != "assistant":
            reply = OpenAI().responses.create(model="gpt-4.1", input=history, tools=tools)
            history += [item.model_dump(exclude_none=True) for item in reply.output]
            for c in [item for item in reply.output if item.type == "function_call"]:
                content = (await mcp.call_tool(c.name, json.loads(c.arguments))).content
                result = {"call_id": c.call_id, "output": list(map(show, content))}
                history.append({"type": "function_call_output", **result})
        print(reply.output_text)


asyncio.run(main([{"role": "user", "content": "Which picture shows a bicycle? Look at it."}]))
