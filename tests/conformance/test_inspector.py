"""The official Inspector: its strict reading of the schemas, and a call of each tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.gallery import CAPTIONS
from tests.conformance.conftest import INSPECTOR, Ended, run_node

pytestmark = pytest.mark.conformance

TOOLS = (
    "list_collections",
    "search_images",
    "search_text",
    "answer_question",
    "view_image",
    "read_text",
    "annotate_image",
    "count",
    "find_duplicates",
    "add_images",
    "save_annotation",
    "delete_assets",
    "query_sql",
)


async def inspect(url: str, era: str, method: str, *arguments: str) -> Ended:
    return await run_node(
        *(INSPECTOR, "--cli", url, "--protocol-era", era, "--method", method), *arguments
    )


async def call(url: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the JSON of the first text block."""
    given = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
    ended = await inspect(url, "modern", "tools/call", *given)
    assert ended.code == 0, ended.out + ended.err
    result = json.loads(ended.out)
    assert not result.get("isError"), result
    data: dict[str, Any] = json.loads(result["content"][0]["text"])
    has_images = len(result["content"]) > 1
    assert result.get("structuredContent") == (None if has_images else data)
    return data


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_schemas_of_all_tools_are_portable(era: str, tools_url: str) -> None:
    ended = await inspect(tools_url, era, "tools/list", "--strict")
    assert ended.code == 0, ended.err
    assert [tool["name"] for tool in json.loads(ended.out)["tools"]] == list(TOOLS)


async def test_each_tool_answers_the_inspector(server_url: str, pictures: Path) -> None:
    added = await call(server_url, "add_images", collection="gallery", paths=[str(pictures)])
    assert added["added"] == len(CAPTIONS) + 1
    listed = await call(server_url, "list_collections")
    assert [each["name"] for each in listed["collections"]] == ["gallery"]
    found = await call(server_url, "search_images", query="a white van", limit=2)
    asset = found["hits"][0]["asset"]
    passages = await call(server_url, "search_text", query="hole spacing")
    assert "42.5 mm" in passages["hits"][0]["text"]
    answer = await call(server_url, "answer_question", question="What is the hole spacing?")
    assert answer["evidence"]
    assert (await call(server_url, "view_image", asset=asset))["asset"]["asset"] == asset
    box = {"box": [0.1, 0.1, 0.5, 0.5], "label": "van"}
    assert (await call(server_url, "annotate_image", asset=asset, boxes=[box]))["boxes"]
    assert await call(server_url, "save_annotation", asset=asset, boxes=[box], origin="person")
    counted = await call(server_url, "query_sql", sql="SELECT count(*) FROM assets")
    assert counted["rows"] == [[len(CAPTIONS)]]
    whole = await call(server_url, "read_text", source="notes.md")
    assert "42.5 mm" in whole["parts"][0]["text"]
    assert (await call(server_url, "count", collection="gallery"))["total"] == len(CAPTIONS)
    assert (await call(server_url, "find_duplicates"))["compared"] == len(CAPTIONS)
    assert (await call(server_url, "delete_assets", assets=[asset]))["assets"] == 1
