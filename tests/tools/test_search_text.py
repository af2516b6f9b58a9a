"""Tests of search_text."""

from __future__ import annotations

import pytest

from tests.tools.album import NOTES
from tests.tools.toolbox import ToolEnvironment


async def test_a_part_number_is_found_in_a_document_with_its_place(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_text", query="hole spacing of HS-4420", detail="detailed")
    first = result["hits"][0]
    assert first["source"] == "album/notes.md"
    assert first["kind"] == "chunk"
    assert "42.5 mm" in first["text"]
    start, end = first["characters"]
    assert NOTES[start:end] == first["text"]
    assert first["passage"].startswith("p")
    assert "asset" not in first
    assert first["retrievers"]["lexical"]["rank"] == 1
    assert 0 <= first["retrievers"]["text_to_passage"]["distance"] <= 2


async def test_a_caption_hit_names_its_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result = await tools.call("search_text", query="dark plums", kinds=["caption"])
    first = result["hits"][0]
    assert first["kind"] == "caption"
    assert first["asset"] == ids["album/shop/plum.png"]
    assert first["source"] == "album/shop/plum.png"
    assert "image" not in first


async def test_a_detailed_hit_describes_its_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        result = await tools.call(
            "search_text", query="dark plums", kinds=["caption"], limit=1, detail="detailed"
        )
    (hit,) = result["hits"]
    assert hit["image"]["asset"] == hit["asset"]
    assert hit["image"]["metadata"]["product"] == "Plum"


async def test_hits_carry_scores_distances_and_times(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_text", query="garlic")
    scores = [hit["score"] for hit in result["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= hit["distance"] <= 2 for hit in result["hits"] if "distance" in hit)
    assert "total" in result["timings_ms"]
    assert isinstance(result["thresholds"], dict)


@pytest.mark.parametrize(
    ("arguments", "sources"),
    [
        ({"kinds": ["chunk"]}, {"album/notes.md"}),
        ({"filters": {"product": "Garlic"}}, {"album/shop/garlic.png"}),
        ({"filters": {"kind": "chunk"}}, {"album/notes.md"}),
        ({"kinds": ["ocr", "subtitle"]}, set()),
    ],
)
async def test_it_can_be_narrowed(
    environment: ToolEnvironment, arguments: dict[str, object], sources: set[str]
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_text", query="the garlic", limit=50, **arguments)
    assert {hit["source"] for hit in result["hits"]} == sources


async def test_pages_do_not_overlap(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        arguments = {"query": "shelf of the storeroom", "kinds": ["caption"], "limit": 10}
        pages = [await tools.call("search_text", **arguments)]
        while cursor := pages[-1].get("next_cursor"):
            pages.append(await tools.call("search_text", **arguments, cursor=cursor))
        whole = await tools.call("search_text", **{**arguments, "limit": 50})
    seen = [hit["passage"] for page in pages for hit in page["hits"]]
    assert len(pages) > 1
    assert len(set(seen)) == len(seen)
    assert seen == [hit["passage"] for hit in whole["hits"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": "x", "kinds": ["words"]}, ["kinds", "'caption'", "'words'"]),
        ({"query": "x", "limit": 0}, ["limit is 0", "1 to"]),
        ({"query": "x", "collection": "holiday"}, ["'holiday'", "'album'"]),
        ({"query": "x", "filters": {"colour": "red"}}, ["'colour'", "'product'"]),
        ({"query": "x", "cursor": "AAAA"}, ["'AAAA'", "start again"]),
        ({"query": "x", "image": "y"}, ["no argument 'image'", "'query'"]),
    ],
)
async def test_invalid_arguments_are_rejected_with_valid_options(
    environment: ToolEnvironment, arguments: dict[str, object], words: list[str]
) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("search_text", **arguments)
    for word in words:
        assert word in text
