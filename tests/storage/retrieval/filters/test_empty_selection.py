"""A filter that matches nothing is explained with values that exist."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from sightline.storage.db.pool import Database
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    for number in range(12):
        await corpus.add(
            f"img{number}.jpg",
            caption=f"card {number}",
            metadata={
                "department": ["Fruit", "Vegetables", "Bakery"][number % 3],
                "code": f"Art-{number:03}",
                "price": number + 1,
                "size": 5 if number else "XL",
                "camera": {"make": "Leica"},
                "tags": ["fresh"],
                "kind": "card",
            },
            captured_at=datetime(2020, 1, 1 + number, 9, tzinfo=UTC),
        )
    await corpus.add_text("a.md", ["some text"])
    yield corpus
    await database.close()


@pytest.fixture(scope="module")
def images(shop: Corpus) -> ImageSearch:
    return ImageSearch(shop.database, shop.encoder, shop.encoder, signing_key=b"k")


@pytest.mark.parametrize(
    ("filters", "notes"),
    [
        (
            {"department": "fruit"},
            ["No image matches 'department' = 'fruit'. Close values: 'Fruit'."],
        ),
        (
            {"department": "Vegtables"},
            ["No image matches 'department' = 'Vegtables'. Close values: 'Vegetables'."],
        ),
        (
            {"department": "Shoes"},
            [
                (
                    "No image matches 'department' = 'Shoes'. "
                    "Its values: 'Bakery', 'Fruit', 'Vegetables'."
                )
            ],
        ),
        (
            {"department": ["fruit", "BAKERY"]},
            [
                (
                    "No image matches 'department' in ['fruit', 'BAKERY']. "
                    "Close values: 'Fruit', 'Bakery'."
                )
            ],
        ),
        (
            {"size": "5"},
            ["No image matches 'size' = '5'. Close values: 5."],
        ),
        (
            {"code": "zzzzzz"},
            [
                (
                    "No image matches 'code' = 'zzzzzz'. "
                    "Frequent values: 'Art-000', 'Art-001', 'Art-002'."
                )
            ],
        ),
        (
            {"price": {"gt": 100}},
            ["No image matches 'price' gt 100. Its values are between 1 and 12."],
        ),
        (
            {"camera.make": "leica"},
            ["No image matches 'camera.make' = 'leica'. Close values: 'Leica'."],
        ),
        ({"tags": "Fresh"}, ["No image matches 'tags' = 'Fresh'. Close values: 'fresh'."]),
        (
            {"kind": "card"},
            [
                (
                    "No image matches 'kind' = 'card'. Its values: 'image'. "
                    "The metadata has a key of this name: 'metadata.kind'."
                )
            ],
        ),
        ({"mime_type": "x"}, ["No image matches 'mime_type' = 'x'. It has no value here."]),
        (
            {"source": "IMG3.jpg"},
            ["No image matches 'source' = 'IMG3.jpg'. Close values: 'img3.jpg'."],
        ),
        (
            {"captured_at": {"lt": "2010-01-01"}},
            [
                (
                    "No image matches 'captured_at' lt '2010-01-01'. "
                    "Its values are between '2020-01-01' and '2020-01-12'."
                )
            ],
        ),
        (
            {"page": 3},
            ["No image matches 'page' = 3. It has no value here."],
        ),
        (
            {"department": "Fruit", "price": 2},
            ["Each condition of the filter matches, but no image matches all of them."],
        ),
        (
            {"or": [{"department": "fruit"}, {"kind": "page"}], "price": 1},
            [
                "No image matches 'department' = 'fruit'. Close values: 'Fruit'.",
                (
                    "No image matches 'kind' = 'page'. Its values: 'image'. "
                    "The metadata has a key of this name: 'metadata.kind'."
                ),
            ],
        ),
    ],
)
async def test_a_filter_that_matches_nothing_is_explained(
    shop: Corpus, images: ImageSearch, filters: Mapping[str, Any], notes: list[str]
) -> None:
    selection = Selection(filters=filters)
    for request in (
        ImageRequest(selection=selection),
        ImageRequest(query="card", selection=selection),
    ):
        results = await images.search(request)
        assert results.hits == ()
        assert list(results.report.notes) == notes


async def test_a_query_without_matches_is_not_blamed_on_the_filter(shop: Corpus) -> None:
    words = PassageSearch(shop.database, None, signing_key=b"k")
    selection = Selection(filters={"department": "Fruit"})
    results = await words.search(PassageRequest(query="giraffe", selection=selection))
    assert results.hits == ()
    assert results.report.notes == ("No text that was searched contains 'giraffe'.",)
    selection = Selection(filters={"text": {"contains": "giraffe"}})
    results = await words.search(PassageRequest(query="card", selection=selection))
    assert results.report.notes[0].startswith("No text matches 'text' contains 'giraffe'.")


async def test_an_empty_selection_is_not_blamed_on_the_filter(
    shop: Corpus, images: ImageSearch
) -> None:
    async with shop.database.connection() as connection:
        await connection.execute("INSERT INTO collection (name) VALUES ('empty')")
    selection = Selection(collections=("empty",), filters={"kind": "page"})
    results = await images.search(ImageRequest(selection=selection))
    assert results.report.notes == ("There is no image to filter in this selection.",)
