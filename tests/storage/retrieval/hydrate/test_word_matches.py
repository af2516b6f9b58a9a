"""Boxes and snippets show the words of a query, however a text writes them."""

from __future__ import annotations

import pytest

from sightline.storage.retrieval.hydrate.word_matches import (
    SNIPPET_CHARS,
    WordMatcher,
    text_terms,
)
from sightline.storage.text.analyzer import analyze
from sightline.storage.text.query_analysis import QueryTerm, analyze_query
from sightline.storage.types import Box

TOP, MIDDLE, END = (0.1, 0.1, 0.9, 0.2), (0.1, 0.4, 0.5, 0.5), (0.2, 0.8, 0.6, 0.9)
LINES = [(TOP, "Harbour Hardware"), (MIDDLE, "Cash 31.00"), (END, "Total 30.90 合计金额")]
FILLER = "The meeting discussed budgets and plans for the coming season at length. " * 8


def _matcher(query: str) -> WordMatcher:
    return WordMatcher(analyze_query(query).terms)


@pytest.mark.parametrize(
    ("query", "box"),
    [
        ("total", END),
        ("hardwares", TOP),
        ("金额", END),
        ("hardware total 30.90", END),  # a number says where
        ("harbour cash total 合计", END),  # most of the words
        ("ash", None),
        ("a", None),
        ("", None),
    ],
)
def test_the_box_is_of_the_line_that_contains_most_words(query: str, box: Box | None) -> None:
    assert _matcher(query).box(LINES) == box


def test_lines_far_apart_do_not_make_a_box_over_half_a_page() -> None:
    assert _matcher("harbour cash").box(LINES) == TOP


def test_an_address_over_several_lines_has_one_box() -> None:
    address = ["12 Jalan Tampoi", "Kawasan Perindustrian", "81200 Johor Bahru", "Tel 07-241 2218"]
    lines = [((0.2, 0.1 + n / 20, 0.6, 0.14 + n / 20), line) for n, line in enumerate(address)]
    box = _matcher("Jalan Tampoi, Kawasan Perindustrian, Johor Bahru").box(lines)
    assert box == pytest.approx((0.2, 0.1, 0.6, 0.24))


def test_no_lines_have_no_box() -> None:
    assert _matcher("total").box([]) is None


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("6 February 2018", "Date: 06/02/2018 14:22"),
        ("2018-02-06", "le 6 février 2018"),
        ("1,234.50", "Summe 1.234,50 EUR"),
        ("1234.50", "Total 1 234,50"),
        ("getUserById", "get_user_by_id()"),
        ("Mueller", "Frau Müller"),
        ("œuf", "un oeuf frais"),
        ("浦東機場", "上海浦东机场"),
        ("18.00", "18.00"),
        ("coop", "the CO-OP market"),
        ("A12", "part A-12"),
        ("INC12345", "INC0012345"),
        ("c++", "in C++ only"),
        ("🎂", "🎂 at noon"),
    ],
)
def test_the_box_is_of_the_line_that_means_the_same(query: str, line: str) -> None:
    lines = [(TOP, "Harbour Hardware 31.10"), (MIDDLE, line), (END, "7 March 2019")]
    assert _matcher(query).box(lines) == MIDDLE


def test_near_words_have_a_box_too() -> None:
    near = QueryTerm("mechan", 0, 0.8, True)
    lines = [(TOP, "Harbour Hardware"), (MIDDLE, "certified mechanics")]
    matcher = WordMatcher((*analyze_query("mecanic").terms, near))
    assert matcher.box(lines) == MIDDLE


def test_words_that_are_everywhere_do_not_stretch_the_box() -> None:
    rows = [((0.1, y / 10, 0.5, y / 10 + 0.05), f"total price at {y}.10") for y in range(1, 9)]
    lines = [((0.1, 0.0, 0.9, 0.05), "Where did all of it go"), *rows]
    assert _matcher("Where did I buy at a total price of 5.10?").box(lines) == rows[4][0]


def test_of_equal_lines_the_box_has_the_nearest() -> None:
    labels = [((0.1, y, 0.3, y + 0.05), "Total") for y in (0.2, 0.6)]
    name = (0.6, 0.6, 0.8, 0.65), "Harbour"
    assert _matcher("harbour total").box([*labels, name]) == (0.1, 0.6, 0.8, 0.65)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("When was it on 6 February 2018?", "on 06/02/2018 we met"),
        ("6 February 2018", "on February 6, 2018 we met"),
        ("invoice of 1234.50", "the amount is 1.234,50 EUR"),
        ("浦東機場", "上海浦东机场"),
        ("Mueller", "signed by Frau Müller"),
    ],
)
def test_the_snippet_shows_the_words_near_its_beginning(query: str, words: str) -> None:
    for text in (FILLER + words + ". " + FILLER, "会议讨论了预算和来年的计划。" * 40 + words):
        snippet = _matcher(query).snippet(text)
        assert words.rsplit(maxsplit=1)[-1] in snippet
        assert snippet.startswith("…")
        assert len(snippet) <= SNIPPET_CHARS + 2
    assert words in _matcher(query).snippet(FILLER + words + ". " + FILLER)[:100]


def test_the_snippet_has_the_part_with_most_of_the_words() -> None:
    text = f"{FILLER} a garlic press. {FILLER} a red garlic shelf. {FILLER}"
    assert "red garlic shelf" in _matcher("red garlic shelf").snippet(text)


def test_a_snippet_without_matches_is_the_beginning() -> None:
    snippet = _matcher("zebra").snippet(FILLER)
    assert snippet.startswith("The meeting")
    assert snippet.endswith("…")
    assert WordMatcher().snippet(FILLER) == snippet


@pytest.mark.parametrize(
    "text",
    [
        "Total 1 234,50 on 6 February 2018, INC0012345, get_user_by_id, 5–7 mm",
        "浦東機場 Müller œuf 18.00 c++ 🎂 10.20.30.40",
        "Der Preis der Krankenkassen: 12'345.60; a-12/3.5",
        "",
    ],
)
def test_the_terms_are_those_of_the_index(text: str) -> None:
    assert text_terms(text) == analyze(text).frequencies.keys()
