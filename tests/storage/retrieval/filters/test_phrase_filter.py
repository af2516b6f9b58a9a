"""Quoted words have to stand together in the text, as they are; the look of pictures is its own."""

from __future__ import annotations

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from sightline.storage.text.quoted_phrases import MOST_PHRASES, phrases, unquoted
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
    ("query", "places"),
    [
        ('"white van"', [1]),
        ('"van white"', []),
        ("white van", [0, 1]),
        ('"Parked, white"', [0]),  # a comma is no word
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
async def test_quoted_words_stand_together(
    library: Corpus, passages: PassageSearch, query: str, places: list[int]
) -> None:
    found = await passages.search(PassageRequest(query=query))
    texts = {hit.passage.text for hit in found.hits if "words" in hit.branches}
    assert texts == {TEXTS[place] for place in places}
    if phrases(query):  # nor does the meaning find what does not hold them
        assert {hit.passage.text for hit in found.hits} == texts
        assert bool(found.report.notes) == (not places)


async def test_a_phrase_that_nothing_holds_is_named(
    library: Corpus, passages: PassageSearch
) -> None:
    found = await passages.search(PassageRequest(query='"van white" wall'))
    assert found.hits == ()
    assert found.report.notes == ("no text holds, as quoted: 'van white'",)


async def test_pictures_with_the_phrase_come_first_and_others_by_their_look(
    corpus: Corpus, images: ImageSearch, database: Database
) -> None:
    await corpus.add("apart", caption="the van is white")
    await corpus.add("together", caption="one white van")
    found = await images.search(ImageRequest(query='"white van"'))
    first, *others = found.hits
    assert first.asset.id == id_of("together")
    assert set(first.branches) == {"words", "text_to_picture"}
    assert [set(each.branches) for each in others] == [{"text_to_picture"}]


def test_phrases_are_few_and_hold_words() -> None:
    many = " ".join(f'"word{n} again"' for n in range(30))
    assert len(phrases(many)) == MOST_PHRASES
    assert phrases('""  "  " "!?" no quotes') == ()
    assert unquoted('a "white van" of “two”') == "a white van of two"
