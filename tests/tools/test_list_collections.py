"""Tests of list_collections."""

from __future__ import annotations

from tests.support.sample_images import jpeg
from tests.tools.album import PICTURES, SHOP
from tests.tools.toolbox import ToolEnvironment, data_url


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
    empty_environment: ToolEnvironment,
) -> None:
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


async def test_a_key_that_is_too_long_to_list_is_counted_and_filters(
    empty_environment: ToolEnvironment,
) -> None:
    key = "k" * 101
    upload = {"name": "a.jpg", "data": data_url(jpeg(1)), "metadata": {key: 1, "short": 1}}
    async with empty_environment.serve() as tools:
        await tools.call("add_images", collection="long", uploads=[upload])
        (listed,) = (await tools.call("list_collections"))["collections"]
        found = await tools.call("search_images", query="x", filters={key: 1})
    assert [each["key"] for each in listed["metadata_keys"]] == ["short"]
    assert listed["more_metadata_keys"] == 1
    assert len(found["hits"]) == 1


async def test_very_many_collections_are_listed_page_by_page(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        async with tools.database.connection() as connection:
            await connection.execute(
                "INSERT INTO collection (name) "
                "SELECT 'set-' || lpad(n::text, 5, '0') FROM generate_series(1, 120) AS n"
            )
        pages = [await tools.call("list_collections")]
        while pages[-1].get("more_collections"):
            last = pages[-1]["collections"][-1]["name"]
            pages.append(await tools.call("list_collections", after=last))
    names = [each["name"] for page in pages for each in page["collections"]]
    assert [len(page["collections"]) for page in pages] == [50, 50, 20]
    assert [page.get("more_collections") for page in pages] == [70, 20, None]
    assert names == sorted(set(names))


async def test_an_unknown_argument_is_named_with_the_valid_one(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("list_collections", name="album")
    assert text == "list_collections has no argument 'name' (valid arguments: 'after')"
