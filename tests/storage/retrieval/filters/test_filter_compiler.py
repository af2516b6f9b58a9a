"""Compiled filters match the right images, and wrong filters are rejected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

CARDS: Mapping[str, dict[str, Any]] = {
    "garlic": {"product": "Garlic", "price": 2.5, "tags": ["fresh", "bulb"], "organic": True},
    "onion": {"product": "Onion", "price": 1, "tags": ["bulb"], "organic": False},
    "saffron": {"product": "Saffron", "price": 19, "origin": "Iran", "tags": []},
    "salt": {"product": "Sea salt 100%", "price": 3, "origin": None},
}
TIMES = {"garlic": 6, "onion": 12, "saffron": 17, "salt": 23}


# All tests read one database.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    yield await _fill(Corpus(database, ColorHistogramEncoder()))
    await database.close()


@pytest.fixture(scope="module")
def images(shop: Corpus) -> ImageSearch:
    return ImageSearch(shop.database, shop.encoder, shop.encoder, signing_key=b"filters")


async def _fill(corpus: Corpus) -> Corpus:
    for name, metadata in CARDS.items():
        moment = datetime.fromisoformat(
            f"2024-05-{1 + list(CARDS).index(name):02}T{TIMES[name]:02}:30"
        )
        await corpus.add(
            name,
            caption=f"a product card of {name}",
            metadata=metadata,
            captured_local=moment,
            captured_at=moment.replace(tzinfo=UTC),
        )
    await corpus.add("blank", caption="a product card of nothing")
    return corpus


async def matches(images: ImageSearch, filter_: Mapping[str, Any], **selection: Any) -> set[str]:
    request = ImageRequest(
        query="product card", selection=Selection(filters=filter_, **selection), limit=50
    )
    results = await images.search(request)
    by_id = {id_of(name): name for name in (*CARDS, "blank")}
    return {by_id[hit.asset.id] for hit in results.hits}


EVERYTHING = {*CARDS, "blank"}


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ({"product": "Garlic"}, {"garlic"}),
        ({"product": "garlic"}, set()),
        ({"product": ["Garlic", "Onion"]}, {"garlic", "onion"}),
        ({"price": {"lte": 3, "gte": 2}}, {"garlic", "salt"}),
        ({"price": {"between": [2, 3]}}, {"garlic", "salt"}),
        ({"price": {"gt": 3}}, {"saffron"}),
        ({"price": {"lt": 1.5}}, {"onion"}),
        ({"price": {"eq": 1.0}}, {"onion"}),
        ({"price": {"ne": 1}}, EVERYTHING - {"onion"}),
        ({"price": {"in": [1, 19]}}, {"onion", "saffron"}),
        ({"price": {"nin": [1, 19]}}, {"garlic", "salt", "blank"}),
        ({"organic": True}, {"garlic"}),
        ({"organic": {"ne": True}}, EVERYTHING - {"garlic"}),
        ({"tags": {"contains": "bulb"}}, {"garlic", "onion"}),
        ({"tags": "fresh"}, {"garlic"}),
        ({"tags": {"any": ["fresh", "dried"]}}, {"garlic"}),
        ({"tags": {"all": ["fresh", "bulb"]}}, {"garlic"}),
        ({"tags": {"is_empty": True}}, {"saffron", "salt", "blank"}),
        ({"origin": {"is_empty": False}}, {"saffron"}),
        ({"origin": None}, EVERYTHING - {"saffron"}),
        ({"product": {"text_match": "salt"}}, {"salt"}),
        ({"product": {"text_match": "SALT"}}, set()),
        ({"product": {"text_match_insensitive": "SALT"}}, {"salt"}),
        ({"product": {"contains": "100%"}}, {"salt"}),
        ({"product": {"gte": "S"}}, {"saffron", "salt"}),
        ({"or": [{"price": 1}, {"price": 19}]}, {"onion", "saffron"}),
        ({"and": [{"price": {"gt": 1}}, {"price": {"lt": 3}}]}, {"garlic"}),
        ({"not": {"price": {"gt": 1}}}, {"onion", "blank"}),
        ({"not": {"or": [{"price": 1}, {"not": {"organic": True}}]}}, {"garlic"}),
        ({"$or": [{"price": {"$eq": 1}}]}, {"onion"}),
        ({"kind": "image", "width": {"gte": 32}, "height": 32}, EVERYTHING),
        ({"width": {"gt": 32}}, set()),
        ({"page": {"is_empty": True}}, EVERYTHING),
        ({"source": "garlic"}, {"garlic"}),
        ({"source": {"in": ["garlic", "salt"]}}, {"garlic", "salt"}),
        ({"file_name": {"contains": "li"}}, {"garlic"}),
        ({"collection": "album"}, EVERYTHING),
        ({"caption": {"text_match": "of s"}}, {"saffron", "salt"}),
        ({"captured_at": {"gte": "2024-05-02", "lt": "2024-05-04"}}, {"onion", "saffron"}),
        ({"captured_at": "2024-05-03"}, {"saffron"}),
        ({"captured_at": {"lte": "2024-05-03"}}, {"garlic", "onion", "saffron"}),
        ({"captured_at": {"gt": "2024-05-03"}}, {"salt"}),
        ({"captured_at": {"gte": "2024-05-02T12:30:00+00:00"}}, {"onion", "saffron", "salt"}),
        ({"captured_at": {"is_empty": True}}, {"blank"}),
        ({"time_of_day": {"lt": "17:00"}}, {"garlic", "onion"}),
        ({"time_of_day": {"between": ["06:00", "17:00"]}}, {"garlic", "onion"}),
        ({"time_of_day": {"between": ["22:00", "7:00"]}}, {"garlic", "salt"}),
        ({"metadata.price": 1}, {"onion"}),
    ],
)
async def test_a_filter_matches_the_right_images(
    shop: Corpus, images: ImageSearch, filter_: dict[str, Any], names: set[str]
) -> None:
    assert await matches(images, filter_) == names


async def test_capture_times_restrict_a_search(shop: Corpus, images: ImageSearch) -> None:
    before = datetime.fromisoformat("2024-05-04")
    results = await matches(images, {}, captured_after="2024-05-02T00:00", captured_before=before)
    assert results == {"onion", "saffron"}


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ({"colour": "red"}, "Unknown filter key 'colour'. Available: .*'price'"),
        ({"price": {"greater": 1}}, "Unknown operator .*'greater'. Available: .*'gte'"),
        ({"price": "cheap"}, "'price' has number values, and 'cheap' is a string"),
        ({"product": {"gt": 5}}, "'product' has string values, and 5 is a number"),
        ({"width": "wide"}, "'width' is a number, not 'wide'"),
        ({"kind": 5}, "'kind' is a text, not 5"),
        ({"time_of_day": {"lt": "5 pm"}}, "'time_of_day' is a time such as '17:00', not '5 pm'"),
        ({"time_of_day": {"lt": "25:00"}}, "not '25:00'"),
        ({"captured_at": {"lt": "yesterday"}}, "such as '2024-05-01'.*not 'yesterday'"),
        ({"captured_at": {"in": ["2024-05-01"]}}, "Use eq, ne"),
        ({"width": {"contains": 3}}, "'width' has one value"),
        ({"price": {"contains": 3}}, "'price' has number values. 'contains' is for lists"),
    ],
)
async def test_a_wrong_filter_is_rejected_with_the_valid_options(
    shop: Corpus, images: ImageSearch, filter_: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await matches(images, filter_)
