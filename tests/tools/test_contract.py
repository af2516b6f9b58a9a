"""The tool contract: names, arguments, descriptions, schemas, size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema.validators import validator_for

from sightline.tools.registry import INSTRUCTIONS
from tests.tools.toolbox import ToolEnvironment

ARGUMENTS = {
    "list_collections": {"after"},
    "search_images": {
        "query",
        "image",
        "region",
        "like",
        "unlike",
        "collection",
        "filters",
        "captured_after",
        "captured_before",
        "visual_weight",
        "diversity",
        "limit",
        "cursor",
        "detail",
        "thumbnails",
    },
    "search_text": {"query", "collection", "kinds", "filters", "limit", "cursor", "detail"},
    "answer_question": {
        "question",
        "assets",
        "collection",
        "filters",
        "captured_after",
        "captured_before",
        "about",
        "annotate",
    },
    "view_image": {"asset", "crop", "max_edge", "annotated"},
    "annotate_image": {"asset", "boxes", "phrases", "style", "inline"},
    "add_images": {"collection", "paths", "uploads", "urls"},
    "save_annotation": {"asset", "boxes", "origin", "model", "score", "note", "replace"},
    "delete_assets": {"assets"},
}


@pytest.fixture(params=["2026-07-28", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_names_and_arguments_are_stable(environment: ToolEnvironment, mode: str) -> None:
    async with environment.serve(mode=mode) as tools:
        listed = {
            name: set(tool.input_schema.get("properties", {})) for name, tool in tools.tools.items()
        }
    assert {name: listed.get(name) for name in ARGUMENTS} == ARGUMENTS


async def test_everything_is_described_in_the_schema(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        for tool in tools.tools.values():
            assert tool.title
            assert tool.description
            assert len(tool.description) > 80
            for name, schema in tool.input_schema.get("properties", {}).items():
                assert schema.get("description"), f"{tool.name} does not describe {name}"
            assert tool.output_schema is not None
            validator_for(tool.output_schema).check_schema(tool.output_schema)
            validator_for(tool.input_schema).check_schema(tool.input_schema)


async def test_schemas_point_only_at_themselves(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        for tool in tools.tools.values():
            for schema in (tool.input_schema, tool.output_schema):
                assert schema is not None
                assert all(reference.startswith("#/$defs/") for reference in _references(schema))


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for part in value.values() for each in _references(part)]
    if isinstance(value, list):
        return [each for part in value for each in _references(part)]
    return []


async def test_the_list_of_tools_costs_a_model_little(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        listed = await tools.client.list_tools()
    text = json.dumps(listed.model_dump(mode="json", by_alias=True, exclude_none=True))
    inputs = sum(
        len(json.dumps(tool.input_schema)) + len(tool.description or "") for tool in listed.tools
    )
    # About four characters to a token; what a model is shown are names, descriptions and inputs.
    assert len(text) / 4 < 12_000
    assert inputs / 4 < 4_000


async def test_the_server_tells_a_model_how_to_use_it_at_the_start(mode: str) -> None:
    assert len(INSTRUCTIONS) / 4 < 500
    for name in ("search_images", "search_text", "list_collections", "view_image"):
        assert name in INSTRUCTIONS


async def test_the_tools_that_write_are_those_that_ask_for_the_scope(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        writing = {
            name
            for name, tool in tools.tools.items()
            if tool.annotations is not None and tool.annotations.read_only_hint is False
        }
    assert writing == {"add_images", "delete_assets", "save_annotation"}
