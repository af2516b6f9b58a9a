"""Queries for annotated receipts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.search_quality.outcomes import Query
from benchmarks.search_quality.receipt_queries import TRUTH, load_receipts, receipt_queries


def row(name: str, company: str, date: str, total: str, *lines: str) -> str:
    values = {"file_name": f"{name}.jpg", "company": company, "date": date, "total": total}
    values["address"] = f"{name} HIGH STREET"
    return json.dumps({**values, "lines": [{"text": text} for text in lines]})


@pytest.fixture
def queries(tmp_path: Path) -> dict[str, list[Query]]:
    rows = [
        row(
            "1", "BLUE LANTERN SDN BHD", "03/02/2018", "RM18.00", "GINGER BISCUITS", "NO 001234567"
        ),
        row("2", "BLUE LANTERN SDN.BHD", "04-02-18", "$5.30", "PAPER LANTERN 18.00"),
        row("3", "GREEN KETTLE", "03 FEB 2018", "", "CHAMOMILE TEA"),
    ]
    (tmp_path / TRUTH).write_text("\n".join(rows), encoding="utf-8")
    found: dict[str, list[Query]] = {}
    for query in receipt_queries(load_receipts(tmp_path)):
        found.setdefault(query.group, []).append(query)
    return found


def test_a_date_means_all_receipts_of_that_day(queries: dict[str, list[Query]]) -> None:
    iso = queries["ISO date"][0]
    assert (iso.text, iso.relevant) == ("2018-02-03", {"1", "3"})
    assert queries["date in words"][1].relevant == {"2"}


def test_a_company_with_a_date_means_one_receipt(queries: dict[str, list[Query]]) -> None:
    exact = queries["exact"][0]
    assert (exact.text, exact.relevant) == ("BLUE LANTERN SDN BHD 03/02/2018", {"1"})


def test_a_question_names_the_company_without_its_legal_form(
    queries: dict[str, list[Query]],
) -> None:
    question = queries["question by company"][1]
    assert "Blue Lantern" in question.text
    assert "Sdn" not in question.text
    assert question.relevant == {"1", "2"}


def test_an_amount_means_all_receipts_that_show_it(queries: dict[str, list[Query]]) -> None:
    by_text = {query.text: query.relevant for query in queries["total"]}
    assert by_text == {"18.00": {"1", "2"}, "5.30": {"2"}}


def test_parts_of_numbers_and_words_mean_what_contains_them(
    queries: dict[str, list[Query]],
) -> None:
    assert [(each.text, each.relevant) for each in queries["last five digits"]] == [
        ("34567", {"1"})
    ]
    assert queries["first five characters"][1].text == "lante"
    assert queries["first five characters"][1].relevant == {"1", "2"}


def test_every_query_has_a_relevant_receipt(queries: dict[str, list[Query]]) -> None:
    assert len(queries) == 12
    assert all(query.relevant for group in queries.values() for query in group)
