from __future__ import annotations

import pytest

from sightline.storage.text.analyzer import analyze
from sightline.storage.text.numbers import find_spaced_numbers, read_number
from sightline.storage.text.query_analysis import analyze_query


@pytest.mark.parametrize(
    ("run", "values"),
    [
        ("1,234.50", ("1234.50",)),
        ("1.234,50", ("1234.50",)),
        ("12'345.60", ("12345.60",)),
        ("12’345.60", ("12345.60",)),
        ("1,23,456.00", ("123456.00",)),
        ("12,34,567", ("1234567",)),
        ("1.234.567", ("1234567",)),
        ("14,6", ("14.6",)),
        ("14.60", ("14.60",)),
        ("0,500", ("0.500",)),
        ("00871", ("871",)),
        ("000", ("0",)),
        ("1,234", ("1234", "1.234")),
        ("1.234", ("1.234", "1234")),
        ("10.20.30.40", ()),
        ("1,2345,678", ()),
        ("1.2.3", ()),
        ("12a", ()),
    ],
)
def test_numbers_are_read_in_any_notation(run: str, values: tuple[str, ...]) -> None:
    assert read_number(run) == values


def test_numbers_with_spaces_between_groups() -> None:
    assert [each.value for each in find_spaced_numbers("12 345,60 and 1 234 567")] == [
        "12345.60",
        "1234567",
    ]
    assert not list(find_spaced_numbers("4500 128 78, 2024 100 and 12 345678"))


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Netto 1.234,50 EUR", "1234.50"),
        ("total $1,234.50", "1234,5"),
        ("CHF 12'345.60", "12345.60"),
        ("Rs. 1,23,456.00", "123456"),
        ("12 345,60 €", "12345.60"),
        ("12345.60", "12 345,60"),
        ("14,6 Prozent", "14.6 percent"),
        ("INC0012345", "INC12345"),
        ("INC0012345", "incident 12345"),
        ("No. 00871", "871"),
    ],
)
def test_a_number_matches_in_other_notations(stored: str, asked: str) -> None:
    terms = set(analyze(stored).frequencies)
    numbers = [each for each in analyze_query(asked).terms if any(map(str.isdigit, each.term))]
    assert any(each.term in terms and each.weight == 1 for each in numbers)


def test_the_printed_number_adds_to_its_value() -> None:
    content = {each.term: each.is_content for each in analyze_query("1,469.06").terms}
    assert content == {"1469.06": True, "1,469.06": False}


def test_an_amount_with_cents_is_more_than_a_number() -> None:
    weights = {each.term: each.weight for each in analyze_query("30.00").terms}
    assert weights.keys() == {"30.00", "30"}
    assert 0 < weights["30"] < weights["30.00"] == 1
    assert {"30.00", "30"} <= analyze("RM 30.00").frequencies.keys()


def test_a_serial_number_is_more_than_its_value() -> None:
    query = analyze_query("00015")
    assert {each.term for each in query.terms if each.is_content} == {"00015"}
    assert [word.spelling for word in query.words] == ["00015"]
    weights = {each.term: each.weight for each in query.terms}
    assert 0 < weights["15"] < weights["00015"] == 1
