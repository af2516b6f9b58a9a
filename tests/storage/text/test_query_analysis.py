from __future__ import annotations

import pytest

from sightline.storage.text.analyzer import analyze
from sightline.storage.text.query_analysis import analyze_query
from sightline.storage.text.stemming import MARK


def content(query: str) -> set[str]:
    """Return the content terms without the stems of other languages."""
    terms = analyze_query(query).terms
    return {each.term for each in terms if each.is_content and not each.term.startswith(MARK)}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("How much did I spend at GUARDIAN?", {"guardian"}),
        ("What did I pay 5.30 for?", {"5.30"}),
        ("receipt with a total of 18.00", {"receipt", "total", "18.00"}),
        ("Wie viel habe ich bei der Bäckerei bezahlt", {"backerei", "baeckerei"}),
        ("combien coûte le loyer", {"loyer"}),
        ("¿Cuánto cuesta el alquiler?", {"alquil"}),
        ("где договор", {"договор"}),
        ("请找红色的车", {"红色", "色的", "车"}),
        ("The Who", {"the", "who"}),
    ],
)
def test_function_words_and_words_of_the_request_are_no_content(
    query: str, words: set[str]
) -> None:
    assert content(query) == words


def test_function_words_still_rank_a_little() -> None:
    weights = {each.term: each.weight for each in analyze_query("the bus").terms}
    assert 0 < weights["the"] < 0.5 < weights["bus"] == 1
    assert {each.weight for each in analyze_query("The Who").terms} == {1.0}


def test_a_date_replaces_its_parts() -> None:
    query = analyze_query("invoice of 6 February 2018")
    (concept,) = {each.concept for each in query.terms if each.term.startswith("date:")}
    orders = {each.term: each.order for each in query.terms if each.concept == concept}
    assert orders == {
        "date:2018-02-06": None,
        "dmy:2018-02-06": "dmy",
        "mdy:2018-02-06": "mdy",
    }
    assert content("6 February 2018") == orders.keys()


def test_a_date_as_printed_adds_to_its_meaning() -> None:
    weights = {each.term: each.weight for each in analyze_query("06/04/17").terms}
    assert weights["06/04/17"] == 1
    assert weights["17"] < 1


def test_the_letters_of_a_part_number_are_no_content_without_its_digits() -> None:
    assert content("INC0099999") == {"inc0099999", "0099999"}
    assert content("LGA 1700") == {"lga", "1700"}


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("get_user_by_id()", "getUserById"),
        ("getUserById", "get user by id"),
        ("iPhone 15", "iphone"),
        ("site_plan_A12.pdf", "A12"),
        ("site_plan_A12.pdf", "site plan a12"),
        ("e-mails", "emails"),
        ("Müller", "Mueller"),
        ("Mueller", "Müller"),
        ("Müller", "muller"),
        ("Straße", "strasse"),
        ("œufs", "oeuf"),
        ("Łódź", "lodz"),
        ("đặt cọc", "dat coc"),
        ("浦东机场", "浦東機場"),
        ("浦東機場", "浦东机场"),
        ("بیمه", "بيمه"),
        ("Two geese on shelves", "goose shelf"),
        ("00:1B:44:11:3A:B7", "001b44113ab7"),
        ("बिजली का बिल", "बिजली"),
        ("책은", "책"),
    ],
)
def test_spellings_match(stored: str, asked: str) -> None:
    query = analyze_query(asked)
    terms = set(analyze(stored).frequencies)
    matched = {
        each.concept
        for each in query.terms
        if each.term in terms
        or (each.term in query.prefixes and any(term.startswith(each.term) for term in terms))
    }
    assert all(matched & set(word.concepts) for word in query.words)


def test_negations_are_reported() -> None:
    assert analyze_query("dogs not allowed").negations == ("not",)
    assert analyze_query("没有狗").negations == ("没有",)
    assert analyze_query("not").negations == ()


def test_a_part_number_is_one_word() -> None:
    (word,) = analyze_query("LGA-1700-B").words
    assert (word.text, word.spelling) == ("lga-1700-b", "lga1700b")
    assert [each.text for each in analyze_query("Müller 1,5").words] == ["müller", "1,5"]
