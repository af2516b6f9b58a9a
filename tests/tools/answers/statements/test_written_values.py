"""Numbers, times, dates and money have one notation each."""

from __future__ import annotations

import pytest

from sightline.tools.answers.statements.written_values import (
    find_money,
    find_times,
    impossible_dates,
    read_count,
    same_values,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("3", 3),
        ("three vans", 3),
        ("There are 3 vans", 3),
        ("none", 0),
        ("no vans", 0),
        ("两辆", 2),
        ("十二", 12),
        ("没有", 0),
        ("1 or 2", None),
        ("many", None),
        ("3.5", None),
    ],
)
def test_counts(text: str, count: int | None) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("claimed", "written", "same"),
    [
        ("18.00", "RM18", True),
        ("1,234.50", "1.234,50", True),
        ("6 May 2018", "06/05/2018", True),
        ("2018年5月6日", "2018-05-06", True),
        ("7 May 2018", "06/05/2018", False),
        ("8:05", "08:05", True),
        ("8:05 pm", "20:05", True),
        ("8:05", "8:06", False),
        ("32 mm", "32mm", True),
        ("32", "132", False),
        ("vans", "vans", False),
    ],
)
def test_values_agree_in_any_notation(claimed: str, written: str, same: bool) -> None:
    assert same_values(claimed, written) is same


@pytest.mark.parametrize(
    ("text", "times"),
    [("10:45 am", {"10:45"}), ("3 pm", {"15:00"}), ("8点半", {"08:30"}), ("8点", {"08:00"})],
)
def test_times(text: str, times: set[str]) -> None:
    assert find_times(text) == times


@pytest.mark.parametrize(
    ("text", "amounts"),
    [("$15.00", ["15"]), ("15 元", ["15"]), ("RM 18.50", ["18.5"]), ("15 vans", [])],
)
def test_money(text: str, amounts: list[str]) -> None:
    assert find_money(text) == amounts


def test_dates_that_do_not_exist() -> None:
    assert impossible_dates("2026-01-55 and 2026-02-28") == ["2026-01-55"]
