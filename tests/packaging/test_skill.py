"""The skill for agents names what the server has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mcp.server.mcpserver import MCPServer

from sightline.tools.registry import RESULTS, register_all, register_analytics

ROOT = Path(__file__).parents[2]
SKILL = (ROOT / "packaging" / "skill" / "sightline" / "SKILL.md").read_text(encoding="utf-8")
_, FRONT_MATTER, BODY = SKILL.split("---\n", 2)


def examples(text: str) -> list[dict[str, Any]]:
    """Return the calls of the JSON blocks, one on each line."""
    blocks = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [json.loads(line) for block in blocks for line in block.splitlines()]


@pytest.fixture
async def schemas() -> dict[str, dict[str, Any]]:
    server: MCPServer = MCPServer("skill")
    register_all(server)
    register_analytics(server)
    return {tool.name: tool.input_schema for tool in await server.list_tools()}


def test_the_front_matter_is_that_of_a_skill() -> None:
    fields = yaml.safe_load(FRONT_MATTER)
    assert fields["name"] == "sightline"
    assert len(fields["description"]) <= 1024
    assert set(fields) <= {"name", "description", "license", "compatibility"}


async def test_the_table_names_each_tool(schemas: dict[str, dict[str, Any]]) -> None:
    listed = re.findall(r"^\|[^|]+\| `(\w+)` \|$", BODY, re.MULTILINE)
    assert sorted(listed) == sorted(schemas)


def _problems(call: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong with a call; the published schemas allow other arguments."""
    schema = schemas.get(call["tool"])
    if schema is None:
        return [f"no tool {call['tool']}"]
    unknown = set(call["arguments"]) - set(schema["properties"])
    errors = jsonschema.Draft202012Validator(schema).iter_errors(call["arguments"])
    return [*(f"no argument {name}" for name in unknown), *(error.message for error in errors)]


async def test_each_example_is_a_valid_call(schemas: dict[str, dict[str, Any]]) -> None:
    calls = examples(BODY)
    assert {call["tool"] for call in calls} >= {"search_images", "view_image", "save_annotation"}
    assert {str(call): _problems(call, schemas) for call in calls} == {
        str(call): [] for call in calls
    }


@pytest.mark.parametrize(
    "call",
    [
        {"tool": "find_images", "arguments": {}},
        {"tool": "search_images", "arguments": {"words": "a van"}},
        {"tool": "search_images", "arguments": {"limit": "five"}},
        {"tool": "view_image", "arguments": {}},
    ],
)
async def test_wrong_calls_are_found(
    call: dict[str, Any], schemas: dict[str, dict[str, Any]]
) -> None:
    assert _problems(call, schemas) != []


async def test_each_other_name_is_a_tool_an_argument_or_a_field(
    schemas: dict[str, dict[str, Any]],
) -> None:
    text = re.sub(r"^```.*?^```", "", BODY, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z][a-z_]+)(?:: \w+)?`", text))
    arguments = {name for schema in schemas.values() for name in schema["properties"]}
    fields = set(
        re.findall(r'"(\w+)"', json.dumps([m.model_json_schema() for m in RESULTS.values()]))
    )
    assert named - {*schemas, *arguments, *fields} == set()
