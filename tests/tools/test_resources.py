"""Resources: what results point at, by address."""

from __future__ import annotations

import base64
import json

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents, TextResourceContents
from PIL import Image

from tests.tools.album import BLUE, RED
from tests.tools.toolbox import Place, Toolbox, near, opened


async def picture_at(tools: Toolbox, uri: str) -> Image.Image:
    (content,) = (await tools.client.read_resource(uri)).contents
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "image/jpeg"
    return opened(base64.b64decode(content.blob))


async def test_the_uri_of_a_hit_is_its_picture(place: Place) -> None:
    async with place.serving() as tools:
        found = await tools.call("search_images", query="x", captured_after="2026-01-01")
        picture = await picture_at(tools, found["hits"][0]["uri"])
    assert picture.size == (60, 80)
    assert near(picture.getpixel((30, 10)), RED)
    assert near(picture.getpixel((30, 70)), BLUE)
    assert dict(picture.getexif()) == {}


async def test_a_large_picture_fits_into_what_clients_take(place: Place) -> None:
    async with place.serving() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        picture = await picture_at(tools, f"sightline://asset/{asset}")
        thumbnail = await picture_at(tools, f"sightline://asset/{asset}/thumbnail")
    assert picture.size == (1568, 1045)
    assert thumbnail.size == (256, 171)


async def test_a_collection_is_what_list_collections_says_of_it(place: Place) -> None:
    async with place.serving() as tools:
        (content,) = (await tools.client.read_resource("sightline://collection/album")).contents
        listed = await tools.call("list_collections")
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    assert json.loads(content.text) == listed["collections"][0]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sightline://asset/zzzzzzzzzzzz", "Unknown asset 'zzzzzzzzzzzz'"),
        ("sightline://asset/zzzzzzzzzzzz/thumbnail", "Unknown asset 'zzzzzzzzzzzz'"),
        ("sightline://collection/holiday", "Unknown collection 'holiday'. Available: 'album'"),
        ("sightline://nothing/at/all", "nothing/at/all"),
    ],
)
async def test_what_is_not_there_is_not_found_by_name(place: Place, uri: str, words: str) -> None:
    async with place.serving() as tools:
        with pytest.raises(MCPError) as caught:
            await tools.client.read_resource(uri)
    assert words in str(caught.value)
    assert caught.value.error.code in (-32002, -32602)


async def test_the_templates_are_listed(place: Place) -> None:
    async with place.serving() as tools:
        templates = (await tools.client.list_resource_templates()).resource_templates
    assert {template.uri_template for template in templates} >= {
        "sightline://asset/{asset}",
        "sightline://asset/{asset}/thumbnail",
        "sightline://collection/{name}",
    }
