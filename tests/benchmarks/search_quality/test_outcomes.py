"""Shares of queries with the right first hit."""

from __future__ import annotations

import pytest

from benchmarks.search_quality.outcomes import Outcome, Query, Reply, print_recall, summary

ANYTHING, NOTHING = frozenset({"a"}), frozenset[str]()


def outcome(relevant: frozenset[str], *hits: tuple[str, bool], note: str = "") -> Outcome:
    return Outcome(Query("kind", "words", relevant), Reply(hits, (note,) if note else ()))


def test_a_relevant_first_hit_is_right_also_if_it_is_weak() -> None:
    assert outcome(ANYTHING, ("a", True), ("b", False)).is_right
    assert not outcome(ANYTHING, ("b", False), ("a", False)).is_right
    assert not outcome(ANYTHING).is_right


def test_a_query_for_nothing_is_right_if_all_hits_are_weak() -> None:
    assert outcome(NOTHING).is_right
    assert outcome(NOTHING, ("a", True), ("b", True)).is_right
    assert not outcome(NOTHING, ("a", True), ("b", False)).is_right


def test_figures_are_by_group_and_count_silent_results() -> None:
    outcomes = [
        outcome(ANYTHING, ("a", False)),
        outcome(ANYTHING, note="No match."),
        outcome(ANYTHING),
    ]
    figures = {"queries": 3, "R@1": 0.3333, "empty": 2, "empty_without_note": 1}
    assert summary(outcomes) == {"kind": figures, "all": figures}


def test_the_table_has_the_gap_between_the_searches(capsys: pytest.CaptureFixture[str]) -> None:
    found, lost = outcome(ANYTHING, ("a", False)), outcome(ANYTHING, ("b", False))
    print_recall("Title", "form", {"one": [found, found], "other": [found, lost]})
    header, row = capsys.readouterr().out.splitlines()[2:4]
    assert "other minus one" in header
    assert row.split() == ["kind", "2", "1.00", "0.50", "-0.50", "0", "0"]
