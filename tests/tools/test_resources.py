"""Tests of the resources."""

from __future__ import annotations

import base64
import json

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents, TextResourceContents
from PIL import Image

from tests.tools.album import BLUE, RED
from tests.tools.toolbox import ToolClient, ToolEnvironment, is_near_color, open_image


async def picture_at(tools: ToolClient, uri: str) -> Image.Image:
    (content,) = (await tools.client.read_resource(uri)).contents
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "image/jpeg"
    return open_image(base64.b64decode(content.blob))


async def test_the_uri_of_a_hit_returns_its_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        found = await tools.call("search_images", query="x", captured_after="2026-01-01")
        picture = await picture_at(tools, f"sightline://asset/{found['hits'][0]['asset']}")
    assert picture.size == (60, 80)
    assert is_near_color(picture.getpixel((30, 10)), RED)
    assert is_near_color(picture.getpixel((30, 70)), BLUE)
    assert dict(picture.getexif()) == {}


async def test_a_large_image_is_reduced_for_clients(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        picture = await picture_at(tools, f"sightline://asset/{asset}")
        thumbnail = await picture_at(tools, f"sightline://asset/{asset}/thumbnail")
    assert picture.size == (1568, 1045)
    assert thumbnail.size == (256, 171)


async def test_a_collection_is_what_list_collections_says_of_it(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        (content,) = (await tools.client.read_resource("sightline://collection/album")).contents
        listed = await tools.call("list_collections")
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    assert json.loads(content.text) == listed["collections"][0]


async def test_the_map_of_a_collection_has_all_assets(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        (content,) = (await tools.client.read_resource("sightline://atlas/album")).contents
        ids = await tools.ids()
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    found = json.loads(content.text)
    shown = {found["assets"][start : start + 12] for start in range(0, len(found["assets"]), 12)}
    assert shown == {*ids.values()}
    assert found["total"] == len(shown)
    assert len(base64.b64decode(found["positions"])) == 4 * len(shown)
    assert len(base64.b64decode(found["clusters"])) == 2 * len(shown)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sightline://atlas/holiday", "Unknown collection 'holiday'. Available: 'album'"),
        ("sightline://asset/zzzzzzzzzzzz", "Unknown asset 'zzzzzzzzzzzz'"),
        ("sightline://asset/zzzzzzzzzzzz/thumbnail", "Unknown asset 'zzzzzzzzzzzz'"),
        ("sightline://collection/holiday", "Unknown collection 'holiday'. Available: 'album'"),
        ("sightline://asset/zzzzzzzzzzzz/crop/0,0,1,1", "Unknown asset 'zzzzzzzzzzzz'"),
        ("sightline://nothing/at/all", "nothing/at/all"),
    ],
)
async def test_unknown_resources_are_not_found(
    environment: ToolEnvironment, uri: str, words: str
) -> None:
    async with environment.serve() as tools:
        with pytest.raises(MCPError) as caught:
            await tools.client.read_resource(uri)
    assert words in str(caught.value)
    assert caught.value.error.code in (-32002, -32602)


@pytest.mark.parametrize(
    "corners", ["x,0,1,1", "0,0,1", "0,0,1,2", "nan,0,1,1", "0,0,1," + "1" * 900]
)
async def test_a_crop_that_is_no_box_is_refused(environment: ToolEnvironment, corners: str) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        with pytest.raises(MCPError, match=r"box \[|is not a box|Unknown resource"):
            await tools.client.read_resource(f"sightline://asset/{asset}/crop/{corners}")


async def test_the_templates_are_listed(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        templates = (await tools.client.list_resource_templates()).resource_templates
    assert {template.uri_template for template in templates} >= {
        "sightline://asset/{asset}",
        "sightline://asset/{asset}/thumbnail",
        "sightline://asset/{asset}/crop/{x0,y0,x1,y1}",
        "sightline://collection/{name}",
        "sightline://atlas/{name}",
    }
