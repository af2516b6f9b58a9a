"""Questions, dates and negations in searches by words."""

from __future__ import annotations

import pytest

from sightline.storage.retrieval import PassageSearch
from sightline.storage.retrieval.search_types import PassageRequest
from tests.support.corpus import Corpus


async def found(passages: PassageSearch, query: str) -> list[str]:
    """Return the texts of the hits that are not weak."""
    results = await passages.search(PassageRequest(query=query))
    return [hit.passage.text for hit in results.hits if not hit.weak]


async def notes(passages: PassageSearch, query: str) -> str:
    return "\n".join((await passages.search(PassageRequest(query=query))).report.notes)


async def test_the_name_in_a_question_counts_more_than_the_words_of_the_question(
    corpus: Corpus, passages: PassageSearch
) -> None:
    chatter = "How much did I do, and what did I spend at all?"
    await corpus.add_text("a.txt", [chatter, "GUARDIAN HEALTH", "MORGAN BAKERY", "SPEED MART"])
    assert await found(passages, "How much did I spend at Guardian?") == ["GUARDIAN HEALTH"]


async def test_a_date_is_found_in_another_notation(corpus: Corpus, passages: PassageSearch) -> None:
    texts = ["Date 06.02.2018", "Date 07.02.2018", "Date 06.03.2018", "February 2018, 6 pieces"]
    await corpus.add_text("a.txt", texts)
    assert await found(passages, "6 February 2018") == ["Date 06.02.2018"]


@pytest.mark.parametrize(
    ("proof", "query", "text"),
    [
        ("25/12/2018", "6 February 2018", "Paid 06/02/2018"),
        ("25/12/2018", "June 2, 2018", "Paid 02/06/2018"),
        ("12/25/2018", "6 February 2018", "Paid 02/06/2018"),
        ("12/25/2018", "June 2, 2018", "Paid 06/02/2018"),
        ("25/12/2018", "06/02/2018", "Paid 06/02/2018"),
    ],
)
async def test_the_dates_of_a_collection_prove_the_order_of_day_and_month(
    corpus: Corpus, passages: PassageSearch, proof: str, query: str, text: str
) -> None:
    await corpus.add_text("a.txt", ["Paid 06/02/2018", "Paid 02/06/2018", f"Paid {proof}", "Free"])
    assert await found(passages, query) == [text]


async def test_both_orders_are_found_without_proof(corpus: Corpus, passages: PassageSearch) -> None:
    await corpus.add_text("a.txt", ["Paid 06/02/2018", "Paid 02/06/2018", "Free"])
    both = ["Paid 02/06/2018", "Paid 06/02/2018"]
    assert sorted(await found(passages, "6 February 2018")) == both


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("iphone 15 128 gb", "Apple iPhone 15 with 128 GB of storage"),
        ("macbook pro 16", "MacBook Pro, 16 inches"),
        ("march 5 kilometers", "A march of 5 kilometers"),
        ("set of 2 plates", "set of 2 plates"),
        ("SKU-MAR-12", "Part SKU-MAR-12 in stock"),
    ],
)
async def test_words_that_look_like_dates_or_numbers_are_words(
    corpus: Corpus, passages: PassageSearch, query: str, text: str
) -> None:
    others = ["iPhone 13 64 GB", "macbook, 16 December 2019", "kilometers", "plates", "sku sku"]
    await corpus.add_text("a.txt", [text, *others, "Delivered 2 September and 12 March 2019"])
    assert (await found(passages, query))[0] == text


async def test_an_exact_amount_ranks_above_a_number(
    corpus: Corpus, passages: PassageSearch
) -> None:
    await corpus.add_text("a.txt", ["receipt for 18 pieces", "TOTAL 18.00", "receipt", "TOTAL"])
    assert (await found(passages, "Which receipt is for 18.00?"))[0] == "TOTAL 18.00"


async def test_an_ignored_negation_is_reported(corpus: Corpus, passages: PassageSearch) -> None:
    await corpus.add_text("a.txt", ["Dogs are welcome", "To be or not to be"])
    assert "Search ignores 'not'" in await notes(passages, "dogs not allowed")
    assert "ignores" not in await notes(passages, '"not to be"')
    assert "ignores" not in await notes(passages, "dogs allowed")


async def test_no_result_is_empty_without_a_note(corpus: Corpus) -> None:
    passages = PassageSearch(corpus.database, None, signing_key=b"k")
    await corpus.add("picture")
    assert "What was searched has no text." in await notes(passages, "dogs")
    await corpus.add_text("a.txt", ["Dogs are welcome"])
    assert "contains 'submarine', 'periscope'" in await notes(passages, "submarine periscope")
    assert "'2018-02-06'" in await notes(passages, "6 February 2018")
    assert "quoted phrases: 'welcome dogs'" in await notes(passages, '"welcome dogs"')
