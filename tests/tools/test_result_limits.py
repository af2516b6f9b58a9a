"""No stored text, metadata or annotation makes a result large."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sightline.storage.errors import NotAllowedError
from sightline.tools.list_collections import CollectionList, CollectionSummary
from sightline.tools.shared.tool_results import (
    MAX_RESULT_BYTES,
    cut,
    max_annotations,
    short_source,
    to_tool_result,
)
from tests.support.results import json_of
from tests.support.sample_images import jpeg
from tests.tools.toolbox import ToolClient, ToolEnvironment, data_url

#: Four bytes a character in UTF-8, and no word to cut at.
LONG = "\U00020000"


@asynccontextmanager
async def crowded(environment: ToolEnvironment) -> AsyncIterator[ToolClient]:
    """Serve an album of 50 assets, each with the longest texts that ingest accepts."""
    uploads = [
        {"name": f"{seed}.jpg", "data": data_url(jpeg(seed)), "caption": "garlic"}
        for seed in range(50)
    ]
    async with environment.serve() as tools:
        await tools.call("add_images", collection="crowded", uploads=uploads)
        async with tools.database.connection() as connection:
            await connection.execute(
                """
                UPDATE sightline.asset SET
                    caption = repeat(%(long)s, 65000),
                    metadata = jsonb_build_object(
                        'short', 7, 'long', repeat(%(long)s, 60000), repeat(%(long)s, 5000), 1)
                """,
                {"long": LONG},
            )
            await connection.execute(
                "UPDATE sightline.passage SET text = text || repeat(%(long)s, 65000)",
                {"long": LONG},
            )
            await connection.execute(
                "UPDATE sightline.source SET name = name || '/' || repeat(%(long)s, 2000)",
                {"long": LONG},
            )
            await connection.execute(
                """
                INSERT INTO sightline.annotation
                    (asset_id, label, x0, y0, x1, y1, origin, model, note)
                SELECT
                    id, repeat(%(long)s, 120), 0, 0, 1, 1, 'model', repeat(%(long)s, 120),
                    repeat(%(long)s, 2000)
                FROM sightline.asset, generate_series(1, 30)
                """,
                {"long": LONG},
            )
        yield tools


async def size_of(tools: ToolClient, tool: str, **arguments: object) -> int:
    result = json_of(await tools.client.call_tool(tool, arguments))
    return len(json.dumps(result, ensure_ascii=False).encode())


@pytest.mark.parametrize("limit", [1, 5, 50])
@pytest.mark.parametrize("detail", ["concise", "detailed"])
async def test_a_search_of_the_longest_texts_is_bounded(
    environment_copy: ToolEnvironment, limit: int, detail: str
) -> None:
    async with crowded(environment_copy) as tools:
        for tool, query in (("search_images", "x"), ("search_text", "garlic")):
            size = await size_of(tools, tool, query=query, limit=limit, detail=detail)
            assert size < MAX_RESULT_BYTES


async def test_what_is_left_out_is_said(environment_copy: ToolEnvironment) -> None:
    async with crowded(environment_copy) as tools:
        found = await tools.call("search_images", query="x", limit=50, detail="detailed")
        asset = found["hits"][0]["asset"]
        viewed, _ = await tools.call_with_images("view_image", asset=asset, annotated=True)
        assert await size_of(tools, "view_image", asset=asset, annotated=True) < MAX_RESULT_BYTES
        assert await size_of(tools, "list_collections") < MAX_RESULT_BYTES
        assert await size_of(tools, "answer_question", question="garlic?") < MAX_RESULT_BYTES
    assert len(found["hits"]) == 50
    for hit in found["hits"]:
        assert hit["caption"].endswith("… (63,800 more characters)")
        assert hit["metadata"] == {"short": 7}
        assert hit["metadata_left_out"] == 2
        assert (len(hit["annotations"]), hit["annotation_count"]) == (4, 30)
        assert len(hit["source"]) == 500
    assert viewed["asset"]["metadata_left_out"] == 1
    assert len(viewed["annotations"]) == 30
    assert "more characters)" in viewed["annotations"][0]["note"]


async def test_usual_texts_are_whole(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        found = await tools.call("search_images", query="garlic", limit=20, detail="detailed")
    hit = next(each for each in found["hits"] if each["source"].endswith("garlic.png"))
    assert hit["caption"] == "A bulb of garlic on a green cloth"
    assert hit["metadata"]["product"] == "Garlic"
    assert "metadata_left_out" not in hit


def test_a_cut_text_says_how_much_is_missing() -> None:
    assert cut("short", 5) == "short"
    assert cut("a\nlong text", 4) == "a\nlo… (7 more characters)"


def test_of_a_long_name_the_end_is_kept() -> None:
    assert short_source("a/b.png") == "a/b.png"
    assert short_source("x" * 5_000 + "/b.png") == "…" + "x" * 493 + "/b.png"


@pytest.mark.parametrize(("hits", "each"), [(1, 20), (10, 20), (50, 4), (200, 1)])
def test_annotations_are_shared_by_the_hits(hits: int, each: int) -> None:
    assert max_annotations(hits) == each


def test_a_result_that_is_too_large_in_spite_of_all_limits_is_refused() -> None:
    summary = CollectionSummary(
        name="x" * MAX_RESULT_BYTES, assets=0, passages=0, failed_sources=0, metadata_keys=[]
    )
    with pytest.raises(NotAllowedError, match=r"the limit is 1,000,000\. Ask for less"):
        to_tool_result(CollectionList(collections=[summary]))
