"""Quoted phrases must occur in the text; image vectors ignore them."""

from __future__ import annotations

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from sightline.storage.text.phrases import MAX_PHRASES, parse_phrases, remove_quotes
from tests.support.corpus import Corpus, id_of

TEXTS = [
    "The van is parked, white and clean, before the red wall.",
    "A white van is parked by the wall, which is red.",
    "我爱北京天安门广场的早晨。",
    "北京的天空，安静的门。",
    "Part A-12/3.5 fits. The café’s owner said so.",
]


@pytest.fixture
async def library(corpus: Corpus) -> Corpus:
    await corpus.add_text("texts.md", TEXTS)
    return corpus


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ('"white van"', [1]),
        ('"van white"', []),
        ("white van", [0, 1]),
        ('"Parked, white"', [0]),  # a comma is not a word
        ('wall "white van" "is red"', [1]),
        ('"white van" "red wall"', []),
        ("“white van”", [1]),
        ('"北京天安"', [2]),  # not how either sentence is cut into words
        ("「天空，安静」", [3]),
        ('"北京 天安门"', [2]),
        ('"a-12/3.5 fits"', [4]),
        ('"cafe\'s owner"', [4]),
        ('5" van', [0, 1]),  # inches
        ('van "...', [0, 1]),
        ('"..." van', [0, 1]),
        ("\"it's' \\ <-> & | !\"", []),
    ],
)
async def test_quoted_words_must_be_adjacent(
    library: Corpus, passages: PassageSearch, query: str, indexes: list[int]
) -> None:
    results = await passages.search(PassageRequest(query=query))
    texts = {hit.passage.text for hit in results.hits if "lexical" in hit.retrievers}
    assert texts == {TEXTS[index] for index in indexes}
    if parse_phrases(query):  # vector search returns only passages with the phrases
        assert {hit.passage.text for hit in results.hits} == texts
        assert bool(results.report.notes) == (not indexes)


async def test_a_phrase_that_no_text_contains_adds_a_note(
    library: Corpus, passages: PassageSearch
) -> None:
    results = await passages.search(PassageRequest(query='"van white" wall'))
    assert results.hits == ()
    assert results.report.notes == ("No text contains the quoted phrases: 'van white'.",)


async def test_images_with_the_phrase_come_first_and_others_follow_by_appearance(
    corpus: Corpus, images: ImageSearch, database: Database
) -> None:
    await corpus.add("apart", caption="the van is white")
    await corpus.add("together", caption="one white van")
    results = await images.search(ImageRequest(query='"white van"'))
    first, *others = results.hits
    assert first.asset.id == id_of("together")
    assert set(first.retrievers) == {"lexical", "text_to_image"}
    assert [set(each.retrievers) for each in others] == [{"text_to_image"}]


def test_the_number_of_phrases_is_limited_and_each_contains_a_word() -> None:
    many = " ".join(f'"word{n} again"' for n in range(30))
    assert len(parse_phrases(many)) == MAX_PHRASES
    assert parse_phrases('""  "  " "!?" no quotes') == ()
    assert remove_quotes('a "white van" of “two”') == "a white van of two"
