"""smolagents: pip install "smolagents[mcp,openai]" "mcp<2"."""

import os
from base64 import b64decode
from io import BytesIO

from mcp import StdioServerParameters
from mcpadapt.core import MCPAdapt
from mcpadapt.smolagents_adapter import SmolAgentsAdapter
from PIL import Image
from smolagents import OpenAIModel, ToolCallingAgent

URL = os.environ.get("MCP_URL")  # without it, the program starts the server itself
HTTP = {"url": URL, "transport": "streamable-http", "timeout": 60}
SERVER = HTTP if URL else StdioServerParameters(command="sightline", args=["serve"])


class Adapter(SmolAgentsAdapter):
    images = []

    def adapt(self, call, tool):  # the original drops images and requires every argument
        tool = super().adapt(lambda arguments: self.keep_images(call(arguments)), tool)
        tool.inputs = {name: {**schema, "nullable": True} for name, schema in tool.inputs.items()}
        return tool

    def keep_images(self, result):
        images = [BytesIO(b64decode(b.data)) for b in result.content if b.type == "image"]
        self.images = list(map(Image.open, images))
        return result


with MCPAdapt(SERVER, adapter := Adapter(), connect_timeout=60) as tools:
    callbacks = [lambda step, agent: setattr(step, "observations_images", adapter.images)]
    agent = ToolCallingAgent(tools, OpenAIModel("gpt-4.1"), step_callbacks=callbacks)
    print(agent.run("Which picture shows a bicycle? Look at it."))
