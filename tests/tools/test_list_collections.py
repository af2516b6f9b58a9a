"""Tests of list_collections."""

from __future__ import annotations

from pathlib import Path

from tests.tools.album import PICTURES, SHOP
from tests.tools.toolbox import ToolEnvironment


async def test_a_collection_lists_counts_times_and_metadata_keys(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("list_collections")
    (album,) = result["collections"]
    assert album["name"] == "album"
    assert album["assets"] == PICTURES
    assert album["failed_sources"] == 1
    assert album["encoder"] == "test-color-histogram"
    assert album["captured_from"] == album["captured_to"]
    assert album["captured_from"].startswith("2026-05-01T")
    keys = {key["key"]: key for key in album["metadata_keys"]}
    assert set(keys) == {"product", "price", "organic"}
    assert [keys[name]["type"] for name in ("product", "price", "organic")] == [
        "string",
        "number",
        "boolean",
    ]
    assert all(key["assets"] == len(SHOP) for key in keys.values())
    assert set(keys["product"]["examples"]) <= {product.name for product in SHOP}
    assert set(keys["organic"]["examples"]) <= {"true", "false"}
    assert keys["price"]["examples"]


async def test_captions_and_documents_are_counted_as_passages(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        (album,) = (await tools.call("list_collections"))["collections"]
    # A caption for each image of the shop and the shelves, and one chunk of the notes.
    assert album["passages"] == PICTURES - 2 + 1


async def test_an_empty_place_has_no_collections(empty_environment: ToolEnvironment) -> None:
    async with empty_environment.serve() as tools:
        assert await tools.call("list_collections") == {"collections": []}


async def test_many_keys_are_cut_and_the_rest_is_counted(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    from tests.support.sample_images import jpeg
    from tests.tools.toolbox import data_url

    upload = {
        "name": "a.jpg",
        "data": data_url(jpeg(1)),
        "metadata": {f"key{number:02}": number for number in range(30)},
    }
    async with empty_environment.serve() as tools:
        await tools.call("add_images", collection="many", uploads=[upload])
        (many,) = (await tools.call("list_collections"))["collections"]
        found = await tools.call("search_images", query="x", filters={"key29": 29})
    assert len(many["metadata_keys"]) == 20
    assert many["more_metadata_keys"] == 10
    assert len(found["hits"]) == 1


async def test_it_takes_no_arguments(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("list_collections", name="album")
    assert text == "list_collections has no argument 'name' (it has no arguments)"
