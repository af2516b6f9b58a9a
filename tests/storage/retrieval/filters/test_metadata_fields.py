"""Nested metadata, keys with the name of a column, and the types of values in filters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_values
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections
from sightline.storage.records.filter_keys import BUILT_IN_KEYS, metadata_name
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.filters.filter_columns import ASSETS, NEAR, PASSAGES
from sightline.storage.retrieval.filters.filter_compiler import possible_paths
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

CARDS: Mapping[str, dict[str, Any]] = {
    "leica": {"kind": "camera", "camera": {"make": "Leica", "lens": {"mm": 35}}, "price": "120"},
    "canon": {"kind": "camera", "camera": {"make": "Canon", "lens": {"mm": 50}}, "price": "5"},
    "dotted": {"camera.make": "Zeiss", "page": 7, "metadata": {"kind": "odd"}, "stars": 3},
    "plain": {"tags": ["a", "b"], "stars": 5, "organic": True},
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    for name, metadata in CARDS.items():
        await corpus.add(name, caption=f"a card of {name}", metadata=metadata)
    yield corpus
    await database.close()


@pytest.fixture(scope="module")
def images(shop: Corpus) -> ImageSearch:
    return ImageSearch(shop.database, shop.encoder, shop.encoder, signing_key=b"k")


async def matches(images: ImageSearch, filters: Mapping[str, Any]) -> set[str]:
    request = ImageRequest(selection=Selection(filters=filters), limit=50)
    return {hit.asset.source for hit in (await images.search(request)).hits}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"kind": "image"}, set(CARDS)),
        ({"metadata.kind": "camera"}, {"leica", "canon"}),
        ({"metadata.page": 7}, {"dotted"}),
        ({"metadata.page": {"gte": "7"}}, {"dotted"}),
        ({"page": 7}, set()),
        ({"metadata.metadata.kind": "odd"}, {"dotted"}),
        ({"camera.lens.mm": 35}, {"leica"}),
        ({"camera.lens.mm": {"gt": 35}}, {"canon"}),
        ({"camera.lens.mm": {"gt": "35"}}, {"canon"}),
        ({"metadata.camera.lens.mm": {"between": ["30", "40.5"]}}, {"leica"}),
        ({"camera.lens.mm": {"in": ["35", 50]}}, {"leica", "canon"}),
        ({"camera": {"is_empty": False}}, {"leica", "canon"}),
        ({"camera.lens.mm": {"is_empty": True}}, {"dotted", "plain"}),
        # A key that contains a dot goes before a nested one.
        ({"camera.make": "Zeiss"}, {"dotted"}),
        ({"stars": {"lte": "3"}}, {"dotted"}),
        ({"stars": "5"}, {"plain"}),
        ({"width": {"gte": "32"}}, set(CARDS)),
        ({"price": "5"}, {"canon"}),
        ({"price": {"in": ["5", "120"]}}, {"canon", "leica"}),
    ],
)
async def test_a_filter_names_nested_keys_and_keys_like_columns(
    shop: Corpus, images: ImageSearch, filters: dict[str, Any], names: set[str]
) -> None:
    assert await matches(images, filters) == names


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"price": {"lte": "5"}}, "'price' are numbers written as text.*list exact texts in 'in'"),
        ({"price": {"lte": 5}}, "'price' are numbers written as text"),
        ({"stars": "many"}, "'stars' has number values, and 'many' is a string"),
        ({"stars": "5 stars"}, "'stars' has number values"),
        ({"width": "5e3"}, "'width' is a number, not '5e3'"),
        ({"organic": "yes"}, r"'yes' is a string\. Use true\."),
        ({"organic": "No"}, r"'No' is a string\. Use false\."),
        ({"organic": 7}, r"7 is a number\. Use true or false\."),
        ({"camera": "Leica"}, r"has object values.*Its keys: 'camera\.lens'\."),
        ({"camera": {"make": "Leica"}}, r"operator.*'make'.*Write a nested key as 'camera\.make'"),
        ({"captured_at": {"month": "2024-05"}}, r"nested key as 'captured_at\.month'"),
        ({"captured_at": {"lt": "17:00"}}, 'Use filters: {"time_of_day": {"lt": "17:00"}}'),
    ],
)
async def test_a_value_that_cannot_match_is_refused(
    shop: Corpus, images: ImageSearch, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await matches(images, filters)


async def test_an_index_of_a_list_is_no_key(shop: Corpus, images: ImageSearch) -> None:
    with pytest.raises(UnknownNameError, match=r"'tags\.0'.*'camera\.lens\.mm'"):
        await matches(images, {"tags.0": "a"})


@pytest.mark.parametrize("name", ["captured_before", "captured_after"])
async def test_a_time_of_day_is_no_capture_time(
    shop: Corpus, images: ImageSearch, name: str
) -> None:
    operator = {"captured_before": "lt", "captured_after": "gte"}[name]
    hint = f'Use filters: {{"time_of_day": {{"{operator}": "17:00"}}}}.'
    with pytest.raises(InvalidArgumentError) as raised:
        await images.search(ImageRequest(selection=Selection(**{name: "17:00"})))
    assert f"'{name}' takes a date" in str(raised.value)
    assert hint in str(raised.value)


async def test_a_rare_nested_key_is_found_beyond_the_sample(
    shop: Corpus, images: ImageSearch
) -> None:
    async with shop.database.connection() as connection:
        await connection.execute(
            "INSERT INTO asset (id, collection_id, source_id, ordinal, kind, location, sha256, "
            "width, height, metadata) SELECT lpad(n::text, 12, '0'), collection_id, source_id, n, "
            "'frame', location, sha256, 8, 8, CASE WHEN n = 1100 THEN "
            """'{"rare": {"deep": {"key": 1}}, "a.b": {"c": 2}}'::jsonb ELSE '{}' END """
            "FROM asset, generate_series(1, 1100) n WHERE caption = 'a card of plain'"
        )
    try:
        assert len(await matches(images, {"rare.deep.key": 1})) == 1
        assert len(await matches(images, {"a.b.c": 2})) == 1
        assert possible_paths("a.b.c")[:2] == [("a.b.c",), ("a", "b.c")]
        assert len(possible_paths("a" + ".b" * 6)) == 42
        assert possible_paths("." * 500) == [("." * 500,)]
    finally:
        async with shop.database.connection() as connection:
            await connection.execute("DELETE FROM asset WHERE kind = 'frame'")


async def test_the_listed_metadata_keys_are_what_a_filter_takes(
    shop: Corpus, images: ImageSearch
) -> None:
    async with shop.database.connection() as connection:
        (overview,) = await collections.list_overviews(connection)
    assert overview.metadata_keys is not None
    listed = {key.key: key.type for key in overview.metadata_keys}
    assert listed == {
        "metadata.kind": "string",
        "camera.make": "string",
        "camera.lens.mm": "number",
        "price": "string",
        "metadata.page": "number",
        "metadata.metadata.kind": "string",
        "stars": "number",
        "organic": "boolean",
        "tags": "array",
    }
    for key in listed:
        assert await matches(images, {key: {"is_empty": False}}), key
    assert metadata_name(["kind"]) == "metadata.kind"


VALUES = {"text": "x", "number": 1, "date": "2024-05-01", "time": "17:00",
          "position": {"near": [48.86, 2.29], "km": 5}, "labels": "van"}  # fmt: skip


@pytest.mark.parametrize("key", BUILT_IN_KEYS)
async def test_every_documented_key_compiles(shop: Corpus, images: ImageSearch, key: str) -> None:
    built_in = BUILT_IN_KEYS[key]
    value = VALUES[built_in.type]
    passages = PassageSearch(shop.database, None, signing_key=b"k")
    asked = ({key: value}, {key: {"gte": value}}, {key: {"is_empty": True}})
    if built_in.type == "position":
        asked = ({key: value}, {"not": {key: value}}, {key: {"is_empty": True}})
    if built_in.type == "labels":
        asked = ({key: value}, {key: {"all": [value]}}, {key: {"is_empty": True}})
    for filters in asked:
        selection = Selection(filters=filters)
        await passages.search(PassageRequest(selection=selection))
        if not built_in.of_passages:
            await images.search(ImageRequest(selection=selection))


async def test_every_column_is_documented() -> None:
    of_images = {key for key, each in BUILT_IN_KEYS.items() if not each.of_passages}
    assert ASSETS.columns.keys() == of_images
    assert PASSAGES.columns.keys() == BUILT_IN_KEYS.keys()
    names = {"moment": "date"}
    for key, built_in in BUILT_IN_KEYS.items():
        column = PASSAGES.columns[key]
        assert names.get(column.type, column.type) == built_in.type, key
        assert 0 < len(built_in.meaning) <= 80


async def test_places_near_a_point_are_found_by_an_index(shop: Corpus) -> None:
    near = sql.SQL(NEAR).format(
        latitude=48.86, longitude=2.29, kilometers=5, south=48.81, north=48.91
    )
    async with shop.database.connection() as connection:
        await connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
        query = sql.SQL("EXPLAIN SELECT FROM sightline.asset AS a WHERE {}").format(near)
        plan = await fetch_values(connection, query)
    assert any("asset_latitude_idx" in line for line in plan), plan
