from __future__ import annotations

import pytest

from sightline.storage.text.dates import find_dates, index_terms, query_terms
from sightline.storage.text.normalization import normalize


def stored(text: str) -> set[str]:
    return {term for date in find_dates(normalize(text, 1_000)) for term in index_terms(date)}


def asked(text: str) -> set[str]:
    return {term for date in find_dates(normalize(text, 1_000)) for term in query_terms(date)}


@pytest.mark.parametrize(
    "text",
    [
        "6 February 2018",
        "February 6, 2018",
        "Feb 6th, 2018",
        "06-Feb-2018",
        "06-Feb-18",
        "dated 6 February 2018.",
        "2018-02-06",
        "2018/2/6",
        "vom 6. Februar 2018",
        "6.2.2018",
        "06. 02. 2018",
        "le 6 février 2018",
        "6 de febrero de 2018",
        "6 февраля 2018 г.",
        "6 lutego 2018",
        "2018年2月6日",
        "二〇一八年二月六日",
        "2018년 2월 6일",
        "６ ＦＥＢ ２０１８",
        "2018-02-0610:15",
        "6 Feb 201810:15",
        "reg 19-06.02.2018",
    ],
)
def test_notations_of_a_date_share_a_term(text: str) -> None:
    assert {"date:2018-02-06", "date:2018-02", "date:-02-06"} <= stored(text)
    assert "date:2018-02-06" in asked(text)


@pytest.mark.parametrize(
    "text",
    [
        "06/02/2018",
        "6/2/18",
        "06-02-2018",
        "06/02/201823:02:16",
        "06/02/1812:29",
        "REG #19-06/02/2018",
    ],
)
def test_both_readings_of_an_ambiguous_date_are_found(text: str) -> None:
    assert {"dmy:2018-02-06", "mdy:2018-06-02"} <= stored(text)
    assert "date:2018-02-06" not in stored(text)
    assert stored(text) & asked("6 February 2018")
    assert stored(text) & asked("June 2, 2018")
    assert not stored(text) & asked("7 February 2018")


@pytest.mark.parametrize(
    ("text", "term"), [("25/12/2018", "order:dmy"), ("12/25/2018", "order:mdy")]
)
def test_a_date_with_one_reading_proves_the_order_of_day_and_month(text: str, term: str) -> None:
    assert {term, "date:2018-12-25"} <= stored(text)
    assert "date:2018-12-25" in stored("12.25.2018")
    assert not {"order:dmy", "order:mdy"} & stored("05/05/2018 and 25.12.2018")


def test_a_month_and_a_day_without_year_are_found() -> None:
    assert asked("November 2025") <= {"date:2025-11", "dmy:2025-11", "mdy:2025-11"}
    assert asked("November 2025") & stored("on 2025-11-03")
    assert asked("3 November") & stored("03.11.2025")


@pytest.mark.parametrize(
    "text",
    [
        "10.20.30.41",
        "v16.09.04",
        "32/13/2018",
        "2024/00871",
        "may we go",
        "1310-73-2",
        "1-2-3-2018",
        "2.4.12",
        "march",
        "",
    ],
)
def test_other_numbers_and_words_are_no_dates(text: str) -> None:
    assert not stored(text)


@pytest.mark.parametrize(
    "text",
    ["macbook pro 16", "set 2 plates", "mars 2020 rover", "mart 2018", "SKU-MAR-12", "may-12-b"],
)
def test_words_and_part_numbers_are_no_months(text: str) -> None:
    assert not stored(text)
    assert "date:2024-03-03" in stored("3 mars 2024")


def test_all_dates_of_a_text_are_found_in_order() -> None:
    text = normalize("from 3 March 2024 to 2024-04-05, due 1 May", 100)
    found = find_dates(text)
    assert [date.readings[0].date for date in found] == ["2024-03-03", "2024-04-05", "-05-01"]
    assert [text[date.start : date.end] for date in found] == [
        "3 march 2024",
        "2024-04-05",
        "1 may",
    ]
