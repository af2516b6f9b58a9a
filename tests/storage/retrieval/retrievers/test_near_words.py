"""Words that no text contains are replaced by near ones, and the result says so."""

from __future__ import annotations

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.retrieval import PassageSearch
from sightline.storage.retrieval.retrievers.near_words import edit_distance, nearness
from sightline.storage.retrieval.search_types import PassageRequest, Selection
from tests.support.corpus import Corpus


@pytest.mark.parametrize(
    ("word", "other", "limit", "distance"),
    [
        ("mecanic", "mechanic", 2, 1),
        ("form", "from", 1, 1),
        ("kitten", "sitting", 2, None),
        ("cinammon", "cinnamon", 2, 2),
        ("abcd", "abcd", 0, 0),
        ("abcd", "abce", 0, None),
        ("ab", "ba", 2, 1),
        ("abc", "cab", 2, 2),
        ("", "ab", 2, 2),
    ],
)
def test_edit_distance(word: str, other: str, limit: int, distance: int | None) -> None:
    assert edit_distance(word, other, limit) == distance
    assert edit_distance(other, word, limit) == distance


def test_nearer_words_weigh_more() -> None:
    one_edit, two_edits = nearness("mecanics", "mechanics"), nearness("mecanisc", "mechanics")
    beginning, stem = nearness("mechanic", "mechanically"), nearness("mechanism", "mechanical")
    assert 1 > one_edit > two_edits == beginning > stem > nearness("mechanic", "organ") == 0


def test_numbers_are_near_only_by_their_beginning_or_end() -> None:
    assert nearness("12345", "inc0012345") > 0
    assert nearness("fdo21", "fdo2143a0b7") > 0
    assert nearness("12345", "12346") == nearness("inc12", "inc13") == 0
    assert nearness("4500", "45000") == nearness("4500", "74500") == 0


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The mechanic replaced the belt", "mecanic"),
        ("Cinnamon and sugar", "cinammon"),
        ("Krankenversicherungsbeiträge steigen", "Beiträge"),
        ("Пассажиры получили чай", "пассажирский"),
        ("serial FDO2143A0B7", "A0B7"),
        ("serial FDO2143A0B7", "FDO21"),
        ("deben vacunarse", "vacunación"),
        ("A fresh cucumber", "czcumber"),
        ("A fresh cucumber", "umber"),
        ("Garlic and salt", "garli"),
        ("aubergine, then tubers", "auber"),
    ],
)
async def test_near_words_are_found_with_a_note(
    corpus: Corpus, passages: PassageSearch, text: str, query: str
) -> None:
    await corpus.add_text("near.txt", [text, "Something else is written here"])
    results = await passages.search(PassageRequest(query=query))
    assert results.hits[0].passage.text == text
    assert not results.hits[0].weak
    assert any(query.casefold() in note and "Searched" in note for note in results.report.notes)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Die gesetzlichen Krankenkassen", "Krankenkasse"),
        ("Пассажиры получили чай", "пассажир"),
        ("ذهب الأولاد إلى المدرسة", "مدرسة"),
        ("Les chevaux sont dans le pré", "cheval"),
        ("The colours of the tyres", "tire color"),
    ],
)
async def test_forms_of_a_word_are_no_near_words(
    corpus: Corpus, passages: PassageSearch, text: str, query: str
) -> None:
    await corpus.add_text("forms.txt", [text, "Something else is written here"])
    results = await passages.search(PassageRequest(query=query))
    assert results.hits[0].passage.text == text
    assert not results.hits[0].weak
    assert not [note for note in results.report.notes if "Searched" in note]


async def test_the_note_names_a_word_of_the_text_and_not_its_stem(
    corpus: Corpus, passages: PassageSearch
) -> None:
    await corpus.add_text("near.txt", ["The batteries are empty"])
    results = await passages.search(PassageRequest(query="bateries"))
    assert "No text contains 'bateries'. Searched 'batteries'." in results.report.notes


async def test_a_word_that_occurs_is_not_replaced(corpus: Corpus, passages: PassageSearch) -> None:
    await corpus.add_text("a.txt", ["The form is signed"])
    await corpus.add_text("b.txt", ["A letter from home"])
    results = await passages.search(PassageRequest(query="form"))
    assert [hit.passage.text for hit in results.hits if not hit.weak] == ["The form is signed"]
    assert not any("Searched" in note for note in results.report.notes)


async def test_words_of_other_collections_are_not_searched(
    corpus: Corpus, passages: PassageSearch
) -> None:
    await corpus.add_text("a.txt", ["A confidential mechanic"], collection="secret")
    await corpus.add_text("b.txt", ["Nothing here"], collection="open")
    request = PassageRequest(query="mecanic", selection=Selection(collections=("open",)))
    results = await passages.search(request)
    assert "mechanic" not in str(results)


async def test_a_word_of_deleted_texts_is_not_searched(
    corpus: Corpus, passages: PassageSearch, database: Database
) -> None:
    """The vocabulary may keep it, such as if others have many texts with it."""
    await corpus.add_text("a.txt", ["mechanic"])
    await corpus.add_text("b.txt", ["merchant"])
    await corpus.add_text("c.txt", ["mechanic"] * 30, collection="secret")
    async with database.connection() as connection:
        await connection.execute("DELETE FROM source WHERE name = 'a.txt'")
    request = PassageRequest(query="mechanik", selection=Selection(collections=("album",)))
    assert "mechanic" not in str(await passages.search(request))
