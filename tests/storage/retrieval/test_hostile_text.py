"""Any query and any stored text is answered or rejected with an error of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

QUERIES = {
    "sql": "'; DROP TABLE sightline.asset; --",
    "format": "%s %(query)s {0} {} %% $1 \\",
    "nul": "red\x00car",
    "nul alone": "\x00",
    "surrogate": "red \ud800 car",
    "one letter": "a",
    "one character": "车",
    "emoji": "🚗",
    "emoji family": "👨‍👩‍👧‍👦🏳️‍🌈",
    "stop words": "the of and to a in is it",
    "chinese stop words": "的 了 是",
    "mixed": "red 汽车 машина 自動車 سيارة car",
    "punctuation": "... ?! (((",
    "quotes": "\"red' `car` <-> & | ! :*",
    "long word": "x" * 5_000,
    "ten thousand words": " ".join(f"word{n}" for n in range(9_000)) + " red car",
    "repeated": "red " * 10_000,
    "control": "red\x1b[31m\x07 car",
    "right to left": "\u202ered\u202c car",
    "arabic": "سيارة حمراء في الشارع",
    "hebrew": "מכונית אדומה, רחוב",
    "thai": "รถสีแดง",
    "phrases": '"red car" "» “«' * 20,
    "combining": "r\u0301\u0316" * 500,
    "tab and newline": "red\n\tcar\r\n",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    await corpus.add("car", caption="the red car 红色的汽车 is here 🚗 of")
    yield corpus
    await database.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", QUERIES)
async def test_any_query_is_answered(street: Corpus, name: str) -> None:
    images = ImageSearch(street.database, street.encoder, street.encoder, signing_key=b"k")
    passages = PassageSearch(street.database, street.encoder, signing_key=b"k")
    for query in (QUERIES[name], QUERIES[name] + " red"):
        image_results = (
            await images.search(ImageRequest(query=query)) if query.strip("\x00") else None
        )
        passage_results = (
            await passages.search(PassageRequest(query=query)) if query.strip("\x00") else None
        )
        assert (
            image_results is None or len(image_results.hits) == 1
        )  # a vector always has a nearest neighbor
        assert passage_results is None or len(passage_results.hits) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_too_long_query_is_rejected(street: Corpus) -> None:
    query = "x" * 200_000
    images = ImageSearch(street.database, street.encoder, street.encoder, signing_key=b"k")
    passages = PassageSearch(street.database, street.encoder, signing_key=b"k")
    with pytest.raises(InvalidArgumentError, match="characters"):
        await images.search(ImageRequest(query=query))
    with pytest.raises(InvalidArgumentError, match="characters"):
        await passages.search(PassageRequest(query=query))


@pytest.mark.parametrize("text", list(QUERIES.values()), ids=list(QUERIES))
async def test_any_stored_text_is_found_by_its_own_words(
    corpus: Corpus, passages: PassageSearch, text: str
) -> None:
    clean = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    await corpus.add_text("notes.txt", [clean or "-", "something else altogether"])
    if not clean.strip():
        return
    results = await passages.search(PassageRequest(query=clean, limit=1))
    words = results.report.retrievers["lexical"]
    if words.hits:
        assert results.hits[0].passage.text == clean
        assert results.hits[0].retrievers["lexical"].rank == 1


async def test_a_long_query_adds_a_note(corpus: Corpus, images: ImageSearch) -> None:
    await corpus.add("car", caption="word7")
    results = await images.search(ImageRequest(query=QUERIES["ten thousand words"]))
    assert "only the first 256 terms" in results.report.notes[0]


async def matches(images: ImageSearch, filter_: Mapping[str, Any]) -> set[str]:
    results = await images.search(
        ImageRequest(query="product card", selection=Selection(filters=filter_))
    )
    names = {id_of(name): name for name in ("blank", "salt")}
    return {names[hit.asset.id] for hit in results.hits}


@pytest.mark.parametrize(
    "hostile",
    [
        "'; DROP TABLE asset; --",
        '" OR 1=1',
        "%(f0)s",
        "%s %% {} {{x}}",
        "\\'; SELECT 1",
        "$1",
        "a\nb\tc",
        "😀\u202e",
    ],
)
async def test_hostile_keys_and_values_are_treated_as_text(
    corpus: Corpus, images: ImageSearch, hostile: str
) -> None:
    await corpus.add("blank", caption="a product card", metadata={hostile: hostile, "b": 1})
    await corpus.add("salt", caption="a product card", metadata={"b": 2})
    for filter_ in (
        {hostile: hostile},
        {hostile: {"text_match": hostile}},
        {hostile: {"gte": hostile}},
        {hostile: {"in": [hostile, "other"]}},
        {"not": {hostile: {"is_empty": True}}},
    ):
        assert await matches(images, filter_) == {"blank"}
    assert await matches(images, {"caption": hostile}) == set()
    with pytest.raises(UnknownNameError):
        await matches(images, {hostile + "?": 1})
