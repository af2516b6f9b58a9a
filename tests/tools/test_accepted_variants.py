"""Every tool accepts what models and frameworks send for an omitted or single value."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_type_hints

import pytest
from mcp.types import ImageContent, TextContent

from tests.tools.toolbox import ToolEnvironment

GARLIC = "album/shop/garlic.png"
#: The arguments that a call needs; all others may be null.
NEEDED: dict[str, dict[str, Any]] = {
    "list_collections": {},
    "search_images": {"query": "garlic"},
    "search_text": {"query": "garlic"},
    "answer_question": {"question": "What is it?"},
    "view_image": {"asset": "$asset"},
    "annotate_image": {"asset": "$asset", "phrases": ['"word"']},
    "add_images": {"collection": "album", "paths": ["/nowhere"]},
    "save_annotation": {
        "asset": "$asset",
        "boxes": [{"box": [0, 0, 1, 1], "label": "all"}],
        "origin": "person",
    },
    "delete_assets": {"collection": "album"},
    "read_text": {"source": GARLIC},
    "count": {"collection": "album"},
    "find_duplicates": {"collection": "album"},
}


def with_asset(arguments: dict[str, Any], asset: str) -> dict[str, Any]:
    return {name: asset if value == "$asset" else value for name, value in arguments.items()}


async def test_the_calls_name_every_tool(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        assert set(NEEDED) == set(tools.tools)


@pytest.mark.parametrize("tool", NEEDED)
@pytest.mark.parametrize("nothing", [None, ""])
async def test_null_and_empty_text_mean_that_an_argument_is_omitted(
    environment_copy: ToolEnvironment, tool: str, nothing: str | None
) -> None:
    async with environment_copy.serve() as tools:
        needed = with_asset(NEEDED[tool], (await tools.ids())[GARLIC])
        schema = tools.tools[tool].input_schema
        others = [
            name
            for name, each in schema["properties"].items()
            if name not in needed and (nothing is None or each["type"] != "string")
        ]
        plain = await tools.client.call_tool(tool, needed)
        call = await tools.client.call_tool(tool, needed | dict.fromkeys(others, nothing))
    assert [type(each) for each in call.content] == [type(each) for each in plain.content]
    assert call.is_error == plain.is_error
    for first, second in zip(plain.content, call.content, strict=True):
        if isinstance(first, TextContent) and plain.is_error:
            assert isinstance(second, TextContent)
            assert first.text == second.text


async def test_one_text_is_a_list_of_one(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        listed = await tools.call("search_images", like=[asset])
        single = await tools.call("search_images", like=asset)
        assert single["hits"] == listed["hits"]
        text = await tools.call("search_text", query="garlic", kinds="caption")
        assert {hit["kind"] for hit in text["hits"]} == {"caption"}


async def test_objects_and_boxes_may_be_json_text(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        found = await tools.call("search_images", query="x", filters='{"product": "Garlic"}')
        viewed, _ = await tools.call_with_images("view_image", asset=asset, crop="[0, 0, 0.5, 1]")
    assert [hit["source"] for hit in found["hits"]] == [GARLIC]
    assert viewed["crop"][:2] == [0, 0]


async def test_a_list_of_one_numbers_in_a_text_and_plain_boxes_are_accepted(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        found = await tools.call("search_images", query="garlic", collection=["album"])
        viewed, _ = await tools.call_with_images("view_image", asset=asset, crop="0, 0, 0.5, 1")
        drawn, _ = await tools.call_with_images("annotate_image", asset=asset, boxes=[0, 0, 0.5, 1])
        text = await tools.call("search_text", query="garlic", kinds="Captions")
        refused = await tools.call_error("search_text", query="garlic", kinds="texts")
    assert found["hits"][0]["source"] == GARLIC
    assert viewed["crop"][:2] == [0, 0]
    assert [each["box"] for each in drawn["boxes"]] == [[0, 0, 0.5, 1]]
    assert {hit["kind"] for hit in text["hits"]} == {"caption"}
    assert "'texts'" in refused
    assert "'caption', 'chunk'" in refused


async def test_the_sdk_parses_no_json_in_arguments_that_are_texts(
    environment: ToolEnvironment,
) -> None:
    """It does so for every type but ``str``; `normalize_arguments` checks those texts."""
    async with environment.serve() as tools:
        for name, tool in tools.tools.items():
            hints = get_type_hints(import_module(f"sightline.tools.{name}").tool)
            for argument, schema in tool.input_schema["properties"].items():
                if schema["type"] == "string" and "enum" not in schema:
                    assert hints[argument] is str, f"{name}.{argument}"


@pytest.mark.parametrize("tool", ["view_image", "annotate_image", "save_annotation", "read_text"])
async def test_the_uri_of_an_asset_is_an_id(environment_copy: ToolEnvironment, tool: str) -> None:
    async with environment_copy.serve() as tools:
        id_ = (await tools.ids())[GARLIC]
        arguments = {k: v for k, v in NEEDED[tool].items() if k not in ("asset", "source")}
        call = {"asset": f" sightline://asset/{id_}", **arguments}
        result, _ = await tools.call_with_images(tool, **call)
    assert (result["source"] == GARLIC) if tool == "read_text" else (id_ in str(result["asset"]))


async def test_the_link_of_a_picture_is_an_id(environment: ToolEnvironment) -> None:
    """With ``?images=link`` a model sees nothing else of a picture."""
    async with environment.serve() as tools:
        id_ = (await tools.ids())[GARLIC]
        link = f"https://pictures.example/base/assets/{id_}"
        for reference in (link, f"{link}/thumbnail", f"{link}?crop=0.1,0.1,0.5,0.5"):
            viewed, _ = await tools.call_with_images("view_image", asset=reference)
            assert viewed["asset"]["asset"] == id_
        assert (await tools.call("search_images", image=link))["hits"]
        refused = await tools.call_error("search_images", image="https://other.example/a.jpg")
    assert "URLs are not fetched" in refused


async def test_a_client_that_prefers_structured_results_still_shows_the_image(
    environment: ToolEnvironment,
) -> None:
    """Some clients give a model only the structured content if there is any."""
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        for tool, arguments in {
            "view_image": {"asset": asset},
            "annotate_image": {"asset": asset, "boxes": [{"box": [0, 0, 1, 1], "label": "all"}]},
            "search_images": {"query": "garlic", "contact_sheet": True},
        }.items():
            result = await tools.client.call_tool(tool, arguments)
            for_model: list[object] = (
                list(result.content)
                if result.structured_content is None
                else [result.structured_content]
            )
            assert any(isinstance(block, ImageContent) for block in for_model), tool


async def test_without_inline_images_the_result_has_links(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        viewed, none = await tools.call_with_images("view_image", asset=asset, inline=False)
        box = {"box": [0.1, 0.1, 0.9, 0.9], "label": "bulb"}
        drawn, nothing = await tools.call_with_images(
            "annotate_image", asset=asset, boxes=[box], inline=False
        )
        for uri in (viewed["uri"], drawn["uri"]):
            assert (await tools.client.read_resource(uri)).contents
    assert none == nothing == []
    assert "image_url" not in viewed  # there is no HTTP server
