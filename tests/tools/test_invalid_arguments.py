"""Errors name the invalid value and the valid options."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from sightline.storage.interfaces import EncoderIdentity
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import encoded, jpeg, picture
from tests.tools.toolbox import ToolEnvironment, data_url

#: Ten thousand words that stand nowhere in the album.
WORDS = " ".join("zq" + "".join(letters) for letters in product("abcdefghij", repeat=4))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": "x", "collection": "holiday"}, ["'holiday'", "'album'"]),
        ({"query": "x", "collection": "'; DROP TABLE asset; --"}, ["DROP TABLE", "'album'"]),
        ({"query": "x", "collection": 'al"bum'}, ["'al\"bum'", "'album'"]),
        ({"query": "x", "filters": {"colour": "red"}}, ["'colour'", "'product'", "'organic'"]),
        ({"query": "x", "filters": {"price": {"around": 5}}}, ["'around'", "'price'", "'gte'"]),
        ({"query": "x", "filters": {"price": {"gt": "dear"}}}, ["'dear'", "'price'"]),
        ({"query": "x", "filters": "product=Garlic"}, ["filters", "dictionary", "product=Garlic"]),
        ({"query": "x", "filters": {"or": []}}, ["'or'", "list of filters"]),
        ({"query": "x", "limit": 0}, ["limit is 0", "1 to 50"]),
        ({"query": "x", "limit": -1}, ["limit is -1", "1 to 50"]),
        ({"query": "x", "limit": 51}, ["limit is 51", "1 to 50"]),
        ({"query": "x", "limit": 10**9}, ["limit is 1000000000", "1 to 50"]),
        ({"query": "x", "limit": "many"}, ["limit", "valid integer", "'many'"]),
        ({"query": ["x", "y"]}, ["query", "valid string", "['x', 'y']"]),
        ({"query": "x", "filters": "[" * 5_000}, ["filters is the text", "Send an object"]),
        ({"query": "x", "limit": "1," * 5_000}, ["limit is the text", "Send an integer"]),
        ({"query": "x", "top_k": 3}, ["no argument 'top_k'", "'limit'"]),
        ({"query": "x", "contact_sheet": "maybe"}, ["contact_sheet", "valid boolean", "'maybe'"]),
        ({"query": "x", "visual_weight": 1.5}, ["visual_weight", "less than or equal to 1", "1.5"]),
        ({"query": "x", "detail": "all"}, ["detail", "'concise' or 'detailed'", "'all'"]),
        ({"query": "x", "captured_after": "yesterday"}, ["'yesterday'", "such as '2024-05-01'"]),
        ({"query": "x", "cursor": "AAAA"}, ["'AAAA'", "start again"]),
        ({"query": "x", "cursor": "no cursor at all"}, ["'no cursor at all'", "start again"]),
        ({"image": "zzzzzzzzzzzz"}, ["'zzzzzzzzzzzz'", "search results"]),
        ({"like": ["zzzzzzzzzzzz"]}, ["'zzzzzzzzzzzz'", "search results"]),
        ({"like": ["a"] * 9}, ["like", "at most 8"]),
        ({"image": "https://example.org/cat.jpg"}, ["https://example.org", "not fetched"]),
        ({"image": "file:///etc/passwd"}, ["file:///etc/passwd", "data URL"]),
        ({"image": "data:text/plain;base64,aGVsbG8="}, ["data:text/plain", "data:image/"]),
        ({"image": "data:image/png;base64,#!"}, ["not base64"]),
        (
            {"image": data_url(b"no picture at all")},
            ["not an image of a supported format", "JPEG, PNG"],
        ),
        ({"image": data_url(jpeg(1)[:400])}, ["cannot be decoded"]),
        ({"image": data_url(b"")}, ["not an image of a supported format", "JPEG, PNG"]),
    ],
)
async def test_an_invalid_search_is_rejected_with_valid_options(
    environment: ToolEnvironment, arguments: dict[str, object], words: list[str]
) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("search_images", **arguments)
    for word in words:
        assert word in text


@pytest.mark.parametrize("depth", [100, 400, 900])
async def test_deeply_nested_arguments_are_refused(
    environment: ToolEnvironment, depth: int
) -> None:
    filters: dict[str, object] = {"price": 5}
    for _ in range(depth):
        filters = {"not": filters}
    async with environment.serve() as tools:
        text = await tools.call_error("search_images", query="x", filters=json.dumps(filters))
        if depth <= 100:  # the SDK's client sends no deeper objects
            same = await tools.call_error("search_images", query="x", filters=filters)
            assert same == text
    assert "'filters' is nested more than 64 levels deep" in text


@pytest.mark.parametrize("tool", ["search_images", "search_text"])
async def test_a_query_of_ten_thousand_words_is_ranked_by_its_first_and_says_so(
    environment: ToolEnvironment, tool: str
) -> None:
    async with environment.serve() as tools:
        result = await tools.call(tool, query=f"garlic {WORDS}", detail="detailed", limit=50)
    assert any("first" in note for note in result["notes"])
    ours = [hit for hit in result["hits"] if hit["source"] == "album/shop/garlic.png"]
    assert 1 in [hit["retrievers"]["lexical"]["rank"] for hit in ours]  # its caption, or its name


@pytest.mark.parametrize("tool", ["search_images", "search_text"])
async def test_a_query_far_too_long_is_refused(environment: ToolEnvironment, tool: str) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error(tool, query="garlic " * 100_000)
    assert "700,000 characters" in text
    assert "at most" in text


async def test_a_cursor_goes_on_with_its_own_query_only(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        cursor = (await tools.call("search_images", query="garlic", limit=2))["next_cursor"]
        other = await tools.call_error("search_images", query="onion", limit=2, cursor=cursor)
        swapped = cursor[:-2] + ("AB" if not cursor.endswith("AB") else "CD")
        tampered = await tools.call_error("search_images", query="garlic", limit=2, cursor=swapped)
        filtered = await tools.call_error(
            "search_images", query="garlic", filters={"price": 1.5}, cursor=cursor
        )
        text = await tools.call_error("search_text", query="garlic", cursor=cursor)
    for refusal in (other, tampered, filtered, text):
        assert "was not made for this query" in refusal
        assert "omit the cursor to start again" in refusal


async def test_a_path_is_read_only_where_roots_allow_it(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    allowed.mkdir()
    outside.mkdir()
    secret = outside / "secret.png"
    secret.write_bytes(encoded(picture(1), "PNG"))
    (allowed / "link.png").symlink_to(secret)
    (allowed / "folder").symlink_to(outside)
    (allowed / "notes.txt").write_text("no picture")
    os.mkfifo(allowed / "pipe.png")
    there = [
        str(secret),
        str(allowed / "link.png"),
        str(allowed / "folder" / "secret.png"),
        str(allowed / ".." / "outside" / "secret.png"),
        f"{allowed}/../outside/secret.png",
        "../outside/secret.png",
    ]
    absent = [str(outside / "nothing.png"), str(allowed / "nothing.png"), "a\x00b", "x" * 5_000]
    async with environment.replace(roots=(allowed,)).serve() as tools:
        refusals = [await tools.call_error("search_images", image=path) for path in there + absent]
        pipe = await tools.call_error("search_images", image=str(allowed / "pipe.png"))
        folder = await tools.call_error("search_images", image=str(allowed))
        text = await tools.call_error("search_images", image=str(allowed / "notes.txt"))
    for path, refusal in zip(there + absent, refusals, strict=True):
        # The same words whether or not anything is there: nobody can feel their way about.
        assert repr(path)[:100] in refusal
        assert "is not a file under the folders that this server may read" in refusal
        assert str(allowed) in refusal
    assert "not a regular file" in pipe
    assert "not a regular file" in folder
    assert "not an image of a supported format" in text


async def test_without_roots_no_path_is_read(environment: ToolEnvironment, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(1), "PNG"))
    async with environment.serve() as tools:
        text = await tools.call_error("search_images", image=str(path))
    assert "reads no files by path" in text
    assert "SIGHTLINE_ALLOWED_ROOTS" in text


async def test_the_name_of_a_file_is_answered_with_how_to_get_its_asset_id(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    for roots in ((), (tmp_path,)):
        async with environment.replace(roots=roots).serve() as tools:
            image = await tools.call_error("search_images", image="shop/garlic.png")
            like = await tools.call_error("search_images", like=["garlic.png"])
            viewed = await tools.call_error("view_image", asset="garlic.png")
            filters = {"file_name": "garlic.png"}
            found = await tools.call("search_images", filters=filters)
            id_ = (await tools.ids())["album/shop/garlic.png"]
        for said in (image, like):
            assert "asset id" in said
            assert f"search_images with the filters {filters}" in said
        assert "search_images with the filter file_name" in viewed
        assert [hit["asset"] for hit in found["hits"]] == [id_]


async def test_an_upload_past_the_limit_and_a_bomb_are_refused(
    environment: ToolEnvironment,
) -> None:
    small = replace(environment.limits, max_upload_bytes=1_000, max_image_pixels=10_000)
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    async with environment.serve() as tools:
        bombed = await tools.call_error("search_images", image=data_url(bomb))
    async with environment.replace(limits=small).serve() as tools:
        large = await tools.call_error("search_images", image=data_url(b"x" * 2_000))
        wide = await tools.call_error(
            "search_images", image=data_url(encoded(Image.new("1", (200, 200)), "PNG"))
        )
    assert "400,000,000 pixels; the limit is 100,000,000" in bombed
    assert "1,000 bytes" in large
    assert "40,000 pixels" in wide


@dataclass(frozen=True)
class OtherWeights(ColorHistogramEncoder):
    """The same encoder under other weights."""

    @property
    def identity(self) -> EncoderIdentity:
        return replace(super().identity, weights="0123456789abcdef")


async def test_an_encoder_that_does_not_match_the_space_is_refused_with_both_names(
    environment_copy: ToolEnvironment,
) -> None:
    upload = {"name": "a.jpg", "data": base64.b64encode(jpeg(1)).decode()}
    async with environment_copy.replace(encoder=OtherWeights()).serve() as tools:
        searched = await tools.call_error("search_images", query="garlic", collection="album")
        everywhere = await tools.call_error("search_images", query="garlic")
        added = await tools.call_error("add_images", collection="album", uploads=[upload])
    for text in (searched, everywhere, added):
        assert "test-color-histogram (weights 01234567" in text
        assert text.count("test-color-histogram") == 2
        assert "new collection" in text


async def test_of_all_collections_those_of_another_encoder_are_left_out_and_named(
    environment_copy: ToolEnvironment,
) -> None:
    upload = {"name": "a.jpg", "data": base64.b64encode(jpeg(1)).decode(), "caption": "garlic"}
    async with environment_copy.replace(encoder=OtherWeights()).serve() as tools:
        await tools.call("add_images", collection="other", uploads=[upload])
        result = await tools.call("search_images", query="garlic")
    assert (result["collection"], len(result["hits"])) == ("other", 1)
    assert any("'album'" in note for note in result["notes"])


@pytest.mark.parametrize(
    "query",
    [
        "a",
        "蒜",
        "🧄",
        "the of and to",
        "的 了 是",
        "garlic 大蒜 ثوم чеснок ニンニク",
        "ثوم على قماش أخضر",
        "garlic " * 1_000,
        " ".join(f"word{n}" for n in range(8_000)),
        '"garlic',
        '"green cloth" garlic',
    ],
    ids=lambda query: f"{len(query)} characters, {query[:12]}",
)
async def test_odd_queries_are_answered(environment: ToolEnvironment, query: str) -> None:
    async with environment.serve() as tools:
        for tool in ("search_images", "search_text"):
            result = await tools.call(tool, query=query, limit=3)
            assert result["timings_ms"]["total"] >= 0
        assert (await tools.call("search_images", query=query, limit=3))["hits"]


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
async def test_without_a_query_everything_is_listed(
    environment: ToolEnvironment, query: str
) -> None:
    async with environment.serve() as tools:
        for tool in ("search_images", "search_text"):
            result = await tools.call(tool, query=query, limit=3)
            assert len(result["hits"]) == 3
            assert result["total"] > 3
            assert not any("weak" in hit for hit in result["hits"])


async def test_a_query_without_end_is_refused(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        for tool in ("search_images", "search_text"):
            said = await tools.call_error(tool, query="x" * 200_000)
            assert "Use at most 131,072" in said


async def test_of_very_many_invalid_values_the_first_are_named(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("delete_assets", assets=["x" * 5_000] * 99)
    assert text.count("at most 200 characters") == 3
    assert text.endswith("and 96 more")
