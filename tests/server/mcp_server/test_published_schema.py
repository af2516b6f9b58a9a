"""Published schemas have what a model needs, in keywords that every client understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pytest
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field, JsonValue

from sightline.server.mcp_server.published_schema import publish_schema
from sightline.tools.registry import register_all, register_analytics

#: Every keyword that OpenAI's strict mode, Gemini and the frameworks built on them accept.
_KEYWORDS = {"type", "properties", "required", "items", "enum", "description"}


class Corner(BaseModel):
    x: int = 0
    note: str | None = Field(default=None, max_length=5, description="Short.")


class Arguments(BaseModel):
    name: str = Field(max_length=9)
    mode: Literal["a", "b"] = "a"
    corners: Annotated[list[Corner] | None, Field(max_length=3, description="Some.")] = None
    data: dict[str, JsonValue] | None = None
    pages: list[int] | str = ""


def test_the_published_schema_is_flat() -> None:
    assert publish_schema(Arguments.model_json_schema()) == {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "corners": {
                "type": "array",
                "description": "Some.",
                "items": {
                    "type": "object",
                    "properties": {
                        "x": {"type": "integer"},
                        "note": {"type": "string", "description": "Short."},
                    },
                },
            },
            "data": {"type": "object"},
            "pages": {"type": "array", "items": {"type": "integer"}},
        },
    }


async def _published() -> Mapping[str, dict[str, Any]]:
    server: MCPServer[Any] = MCPServer("test")
    register_all(server)
    register_analytics(server)
    return {tool.name: publish_schema(tool.input_schema) for tool in await server.list_tools()}


def _schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for nested in [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]:
        yield from _schemas(nested)


@pytest.mark.parametrize("keyword", ["$ref", "$defs", "anyOf", "additionalProperties", "title"])
async def test_no_tool_publishes_a_keyword_that_a_client_rejects(keyword: str) -> None:
    for tool, schema in (await _published()).items():
        assert all(keyword not in each for each in _schemas(schema)), tool


async def test_every_value_of_every_tool_has_a_type() -> None:
    for tool, schema in (await _published()).items():
        assert schema["type"] == "object"
        for each in _schemas(schema):
            assert each.keys() <= _KEYWORDS, (tool, each)
            assert each["type"] in {"object", "array", "string", "number", "integer", "boolean"}
            assert ("items" in each) == (each["type"] == "array"), (tool, each)
            assert all(isinstance(value, str) for value in each.get("enum", ())), (tool, each)
