"""The tool contract: names, arguments, descriptions, schemas, size."""

from __future__ import annotations

import json

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
        "contact_sheet",
    },
    "search_text": {"query", "collection", "kinds", "filters", "limit", "cursor", "detail"},
    "answer_question": {
        "question",
        "assets",
        "collection",
        "filters",
        "about",
        "annotate",
        "inline",
        "checks",
    },
    "view_image": {"asset", "crop", "max_edge", "annotated", "inline"},
    "annotate_image": {"asset", "boxes", "phrases", "style", "inline"},
    "add_images": {"collection", "paths", "uploads", "urls"},
    "save_annotation": {"asset", "boxes", "origin", "model", "score", "note", "replace", "delete"},
    "delete_assets": {"assets", "sources", "collection", "confirm"},
    "read_text": {"asset", "source", "collection", "pages", "start", "max_tokens"},
    "count": {"collection", "filters", "by", "of", "limit"},
    "find_duplicates": {"collection", "filters", "limit", "offset"},
}


@pytest.fixture(params=["2026-07-28", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_names_and_arguments_are_stable(environment: ToolEnvironment, mode: str) -> None:
    async with environment.serve(mode=mode) as tools:
        listed = {
            name: set(tool.input_schema.get("properties", {})) for name, tool in tools.tools.items()
        }
    assert listed == ARGUMENTS


async def test_everything_is_described_in_the_schema(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        for tool in tools.tools.values():
            assert tool.title
            assert tool.description
            assert len(tool.description) > 80
            for name, schema in tool.input_schema["properties"].items():
                assert schema.get("description"), f"{tool.name} does not describe {name}"
            validator_for(tool.input_schema).check_schema(tool.input_schema)


async def test_clients_get_no_output_schemas(environment: ToolEnvironment) -> None:
    """A result with an image must have no structured content, which they would require."""
    async with environment.serve() as tools:
        assert [tool.name for tool in tools.tools.values() if tool.output_schema] == []


async def test_the_list_of_tools_costs_a_model_little(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        listed = await tools.client.list_tools()
    text = json.dumps(
        [
            # A model does not receive `_meta`, which is for the host.
            each.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
            for each in listed.tools
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    # The text has 4.2 characters to a token of cl100k_base. With query_sql, which is another 900
    # characters, this is less than 3,000 tokens.
    assert len(text) < 11_800


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
