"""Misspelled words and notations of dates."""

from __future__ import annotations

from datetime import date
from random import Random

import pytest

from benchmarks.search_quality import query_wording


@pytest.mark.parametrize(
    "text", ["18-11-18", "18/11/2018", "2018-11-18", "18 NOV 2018", "18-NOV-2018", "18.11.2018"]
)
def test_a_date_is_read_with_the_day_first(text: str) -> None:
    assert query_wording.parse_date(text) == date(2018, 11, 18)


def test_a_text_without_date_has_none() -> None:
    assert query_wording.parse_date("LOT 12") is None


def test_the_wordings_of_a_date_are_all_used() -> None:
    found = {query_wording.date_in_words(date(2018, 2, 3), Random(seed)) for seed in range(60)}
    assert {"3 February 2018", "February 3, 2018", "Feb 3 2018", "3rd of February 2018"} < found


def test_one_or_two_long_words_are_misspelled() -> None:
    for seed in range(40):
        wrong = query_wording.misspell("the crunchy biscuit", Random(seed))
        assert wrong is not None
        changed = [
            new
            for new, old in zip(wrong.split(), ["the", "crunchy", "biscuit"], strict=True)
            if new != old
        ]
        assert 1 <= len(changed) <= 2
        assert wrong.startswith("the ")


def test_short_words_are_not_misspelled() -> None:
    assert query_wording.misspell("red tea 12345678", Random(0)) is None
