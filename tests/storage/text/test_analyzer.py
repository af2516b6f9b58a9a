from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.storage.text.analyzer import MAX_TERM_CHARS, analyze
from sightline.storage.text.phrases import parse_phrases
from sightline.storage.text.query_analysis import MAX_QUERY_TERMS, MAX_WORD_PAIRS, analyze_query
from sightline.storage.text.word_forms import simplify_chinese


def terms(text: str) -> set[str]:
    return set(analyze(text).frequencies)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("two dogs were running", "dog run"),
        ("a café in Paris", "cafe"),
        ("a cafe in Paris", "café"),
        ("socket LGA1700", "lga 1700"),
        ("socket LGA 1700", "LGA1700"),
        ("RTX-4090", "rtx4090"),
        ("54x90mm hole spacing", "54 x 90 mm"),
        ("part A-12/3.5", "a-12/3.5"),
        ("total $1,299.00", "1299"),
        ("price 3.50", "3.5"),
        ("O'Brien's dog", "OBrien"),
        ("state-of-the-art", "state of the art"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("zero\u200bwidth", "zerowidth"),
        ("C++ in depth", "c++"),
        ("研究生命的起源", "研究生"),
        ("一只小猫在车里", "小猫"),
        ("this is 👍🏽", "👍"),
    ],
)
def test_queries_match_equivalent_text(stored: str, asked: str) -> None:
    assert {each.term for each in analyze_query(asked).terms} & terms(stored)


def test_part_numbers_are_indexed_whole_and_in_parts() -> None:
    assert {"a-12/3.5", "a1235", "a", "12", "3.5"} <= terms("A-12/3.5")


def test_a_part_number_is_not_another_with_the_same_digits() -> None:
    assert "am4" in terms("AM4")
    assert "am4" not in terms("AM5 4 fans")


def test_character_pairs_cover_any_chinese_substring() -> None:
    text = "北京大学生前来应聘自动化岗位"
    stored = terms(text)
    for start in range(len(text) - 1):
        assert text[start : start + 2] in stored


def test_every_chinese_character_starts_a_term() -> None:
    stored = terms("黑猫警长")
    assert all(any(term.startswith(char) for term in stored) for char in "黑猫警长")


def test_chinese_words_have_more_weight_than_character_pairs() -> None:
    query = analyze_query("研究生命")
    weights = {each.term: each.weight for each in query.terms}
    assert weights["研究"] == weights["生命"] == 1
    assert weights["究生"] < 1


def test_a_single_chinese_character_is_a_prefix() -> None:
    assert analyze_query("a 猫").prefixes == {"猫"}
    assert analyze_query("小猫").prefixes == frozenset()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("a white van", "en"),
        ("一辆白色的货车", "zh"),
        ("我的iPhone15手机很好用", "zh"),
        ("日本語のテスト", "other"),
        ("белый фургон", "other"),
        ("", "other"),
        ("42", "other"),
    ],
)
def test_the_language_is_guessed_by_script(text: str, language: str) -> None:
    assert analyze(text).language == language


def test_positions_and_length_count_words_only() -> None:
    analysis = analyze("red car, 红色汽车")
    places = {term: int(at) for term, at in re.findall(r"'(\S+)':(\d+)", analysis.tsvector)}
    assert (places["red"], places["car"]) == (1, 2)
    assert analysis.token_count == max(places.values())


def test_terms_contain_no_quotes_or_backslashes() -> None:
    analysis = analyze("it''s \\ '; DROP TABLE x; --")
    assert analysis.tsvector == "'drop':3 'it':1 's':2 'tabl':4 'x':5"


def test_control_characters_and_lone_surrogates_are_removed() -> None:
    analysis = analyze("a\x00b\ud800c\x1b[31m")
    assert "\x00" not in analysis.tsvector
    analysis.tsvector.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "word " * 2_000_000,
        "中文测试" * 2_500_000,
        "a" * 10_000_000,
        "a-" * 5_000_000,
        "a" + "\u0301\u0316" * 5_000_000,
        "\ufdfa" * 3_000_000,
        "'" * 10_000_000,
        "👨‍👩‍👧" * 1_000_000,
        "".join(map(chr, range(0x110000))),
    ],
    ids=["words", "chinese", "one", "joints", "marks", "expanding", "quotes", "emoji", "all"],
)
@pytest.mark.timeout(60)
def test_ten_megabytes_stay_within_postgres_limits(text: str) -> None:
    analysis = analyze(text)
    assert len(analysis.tsvector.encode()) < 1_048_575 * 2
    assert all(0 < n <= 32_767 for n in analysis.frequencies.values())
    assert all(len(term) <= MAX_TERM_CHARS for term in analysis.frequencies)


def test_long_tokens_are_cut_and_stay_distinct() -> None:
    one, other = terms("x" * 500 + "1a"), terms("x" * 500 + "1b")
    assert max(map(len, one)) == MAX_TERM_CHARS
    assert one != other


def test_long_hostile_queries_are_analyzed_in_their_first_part_only() -> None:
    """Analysis runs in the event loop: an unbroken Chinese text took 20 seconds."""
    han = "".join(map(chr, range(0x4E00, 0x9FA5))) * 6
    analyze_query("车")  # loads the dictionary
    started = time.process_time()
    for text in (han, "red " * 30_000, "a-" * 60_000, '"." ' * 30_000, '"a" ' * 30_000):
        assert analyze_query(text).truncated
        parse_phrases(text)
    assert time.process_time() - started < 5


def test_a_long_chinese_run_keeps_all_its_character_pairs() -> None:
    run = "".join(map(chr, range(0x4E00, 0x4E00 + 3_000)))
    found = terms(run)
    simplified = simplify_chinese(run)
    assert {simplified[start : start + 2] for start in range(len(run) - 1)} <= found
    assert analyze(run).token_count <= len(run)


def test_a_query_of_ten_thousand_words_is_truncated() -> None:
    query = analyze_query(" ".join(f"word{n}" for n in range(10_000)))
    assert len(query.terms) == MAX_QUERY_TERMS
    assert query.truncated


@pytest.mark.parametrize("text", ["", " ", "\x00", "...", "?!", "\u200b", "(((", "''"])
def test_a_query_without_words_has_no_terms(text: str) -> None:
    assert not analyze_query(text)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_a_text_matches_itself(text: str) -> None:
    asked = analyze_query(text)
    stored = terms(text)
    if not asked.truncated:
        matched = {each.concept for each in asked.terms if each.term in stored}
        assert matched == {each.concept for each in asked.terms}


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_analysis_is_stable_under_case_and_repetition(text: str) -> None:
    assert analyze(text) == analyze(text)
    assert bool(analyze(text).frequencies) == (analyze(text).token_count > 0)


def test_adjacent_words_are_pairs_without_repeats() -> None:
    query = analyze_query("red bus, red vans red bus bus")
    pairs = [(query.terms[one].term, query.terms[other].term) for one, other in query.word_pairs]
    assert pairs == [("red", "bus"), ("bus", "red"), ("red", "van"), ("van", "red")]
    assert len(analyze_query(" ".join(f"word{n}" for n in range(99))).word_pairs) == MAX_WORD_PAIRS
