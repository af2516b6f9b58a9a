"""Whatever is typed or stored: answered or refused by name, never an exception of a library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColourHistogramEncoder

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
    corpus = Corpus(database, ColourHistogramEncoder())
    await corpus.add("car", caption="the red car 红色的汽车 is here 🚗 of")
    yield corpus
    await database.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", QUERIES)
async def test_any_query_is_answered(street: Corpus, name: str) -> None:
    images = ImageSearch(street.database, street.encoder, street.encoder, signing_key=b"k")
    passages = PassageSearch(street.database, street.encoder, signing_key=b"k")
    for query in (QUERIES[name], QUERIES[name] + " red"):
        pictures = await images.search(ImageRequest(query=query)) if query.strip("\x00") else None
        texts = await passages.search(PassageRequest(query=query)) if query.strip("\x00") else None
        assert pictures is None or len(pictures.hits) == 1  # vectors always have a nearest
        assert texts is None or len(texts.hits) == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("query", ["", "   ", "\x00", "\n\t", "x" * 200_000])
async def test_an_empty_or_endless_query_is_refused(street: Corpus, query: str) -> None:
    images = ImageSearch(street.database, street.encoder, street.encoder, signing_key=b"k")
    passages = PassageSearch(street.database, street.encoder, signing_key=b"k")
    with pytest.raises(InvalidArgumentError, match=r"nothing to look for|characters"):
        await images.search(ImageRequest(query=query))
    with pytest.raises(InvalidArgumentError, match=r"nothing to look for|characters"):
        await passages.search(PassageRequest(query=query))


@pytest.mark.parametrize("text", list(QUERIES.values()), ids=list(QUERIES))
async def test_any_stored_text_is_found_by_itself(
    corpus: Corpus, passages: PassageSearch, text: str
) -> None:
    clean = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    await corpus.add_text("notes.txt", [clean or "-", "something else altogether"])
    if not clean.strip():
        return
    found = await passages.search(PassageRequest(query=clean, limit=1))
    words = found.report.branches["words"]
    if words.hits:
        assert found.hits[0].passage.text == clean
        assert found.hits[0].branches["words"].rank == 1


async def test_a_long_query_says_what_was_not_used(corpus: Corpus, images: ImageSearch) -> None:
    await corpus.add("car", caption="word7")
    found = await images.search(ImageRequest(query=QUERIES["ten thousand words"]))
    assert "only the first 256 terms" in found.report.notes[0]


async def kept(images: ImageSearch, filter_: Mapping[str, Any]) -> set[str]:
    found = await images.search(
        ImageRequest(query="product card", selection=Selection(filters=filter_))
    )
    names = {id_of(name): name for name in ("blank", "salt")}
    return {names[hit.asset.id] for hit in found.hits}


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
async def test_hostile_keys_and_values_are_only_text(
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
        assert await kept(images, filter_) == {"blank"}
    assert await kept(images, {"caption": hostile}) == set()
    with pytest.raises(UnknownNameError):
        await kept(images, {hostile + "?": 1})
