"""Frameworks convert the published schemas without a loss.

LlamaIndex's converter runs here. The converters of other frameworks do not install next to the MCP
SDK 2: the slow test runs them in environments of their own, and the others assert the rules that
they apply. The releases are pinned here; `make frameworks` takes the newest.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.tools.mcp import McpToolSpec
from mcp import Client

from benchmarks.frameworks.catalog import Framework
from benchmarks.frameworks.checks import check_convert, check_list
from benchmarks.frameworks.installation import install
from sightline.server.app import create_app
from tests.support.settings import make_settings

Schema = dict[str, Any]

#: Types that Gemini has.
_TYPES = {"string", "number", "integer", "boolean", "array", "object"}

_READ_TOOLS = """
import json, sys
from mcp.types import Tool
tools = [Tool.model_validate(tool) for tool in json.load(sys.stdin)]
"""
_WRITE_SCHEMAS = "\nprint(json.dumps(schemas))"

#: Packages, and a program that converts the tools on standard input and prints the schemas by tool.
CONVERTERS = {
    "google_genai": (
        ("google-genai==3.6.1", "mcp==2.3.0"),
        """
from google.genai._mcp_utils import mcp_to_gemini_tools
declarations = [tool.function_declarations[0] for tool in mcp_to_gemini_tools(tools)]
schemas = {d.name: d.parameters.model_dump(mode="json", exclude_none=True) for d in declarations}
""",
    ),
    "openai_agents": (
        ("openai-agents==0.24.0",),
        """
from agents.strict_schema import ensure_strict_json_schema
schemas = {tool.name: ensure_strict_json_schema(tool.input_schema) for tool in tools}
""",
    ),
    "langgraph": (
        ("langchain-core==1.8.3", "langchain-mcp-adapters==0.3.2"),
        """
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool
converted = [convert_mcp_tool_to_langchain_tool(None, tool, connection={}) for tool in tools]
functions = [convert_to_openai_tool(tool)["function"] for tool in converted]
schemas = {function["name"]: function["parameters"] for function in functions}
""",
    ),
    "semantic_kernel": (
        ("semantic-kernel[mcp]==1.45.0",),
        """
from semantic_kernel.connectors.mcp import _get_parameter_dicts_from_mcp_tool as convert
parameters = {tool.name: convert(tool) for tool in tools}
schemas = {
    name: {"type": "object", "properties": {one["name"]: one["schema_data"] for one in found}}
    for name, found in parameters.items()
}
""",
    ),
}


@pytest.fixture
async def tools(tmp_path: Path) -> list[Schema]:
    async with Client(create_app(make_settings(tmp_path))) as client:
        listed = (await client.list_tools()).tools
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed]


def nested(schema: Schema) -> Iterator[Schema]:
    yield schema
    for one in [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]:
        yield from nested(one)


def assert_nothing_lost(converted: dict[str, Schema], tools: list[Schema]) -> None:
    offered = [{"name": name, "schema": schema} for name, schema in converted.items()]
    for outcome in (check_list(offered, tools), check_convert(offered, tools)):
        assert outcome.passed, outcome.detail


async def test_llama_index_keeps_every_argument_and_type(
    tmp_path: Path, tools: list[Schema]
) -> None:
    async with Client(create_app(make_settings(tmp_path))) as client:
        converted = await McpToolSpec(client).to_tool_list_async()  # type: ignore[arg-type]
    schemas = {str(tool.metadata.name): tool.metadata.get_parameters_dict() for tool in converted}
    assert_nothing_lost(schemas, tools)


def test_gemini_has_every_keyword_and_type(tools: list[Schema]) -> None:
    """google-genai raises on `additionalProperties`, and Gemini on an array without items."""
    for tool in tools:
        for schema in nested(tool["inputSchema"]):
            assert "additionalProperties" not in schema
            assert schema["type"] in _TYPES
            assert schema["type"] != "array" or schema["items"]["type"] in _TYPES
            assert all(isinstance(value, str) for value in schema.get("enum", ()))


def test_the_strict_mode_of_openai_finds_no_keyword_that_it_rejects(tools: list[Schema]) -> None:
    """It closes every object and requires every property; it rejects these keywords."""
    rejected = {"additionalProperties", "allOf", "not", "oneOf", "patternProperties", "if"}
    for tool in tools:
        for schema in nested(tool["inputSchema"]):
            assert not rejected & schema.keys()
            assert isinstance(schema["type"], str)


def test_semantic_kernel_and_autogen_find_no_reference(tools: list[Schema]) -> None:
    """They copy `properties` alone, so that references to `$defs` lead nowhere."""
    assert "$ref" not in json.dumps(tools)


def test_langchain_and_smolagents_find_properties_with_one_type(tools: list[Schema]) -> None:
    """mcpadapt turns an argument without a type into a string."""
    for tool in tools:
        assert tool["inputSchema"]["type"] == "object"
        assert all("type" in each for each in tool["inputSchema"]["properties"].values())


@pytest.mark.slow
@pytest.mark.parametrize("framework", CONVERTERS)
def test_the_converter_of_each_framework_keeps_every_argument_and_type(
    framework: str, tools: list[Schema]
) -> None:
    packages, convert = CONVERTERS[framework]
    interpreter = install(Framework(framework, f"convert_with_{framework}.py", packages))
    program = _READ_TOOLS + convert + _WRITE_SCHEMAS
    done = subprocess.run(
        [*interpreter, "-c", program],
        input=json.dumps(tools),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_nothing_lost(json.loads(done.stdout.splitlines()[-1]), tools)
