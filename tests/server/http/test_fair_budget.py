"""Tests of sharing among principals."""

from __future__ import annotations

import pytest

from sightline.server.http.fair_budget import FairBudget


def take_all(budget: FairBudget, principals: list[str]) -> dict[str, int]:
    """Let principals take turns until none gets more; return what each got."""
    taken = dict.fromkeys(principals, 0)
    before = -1
    while sum(taken.values()) > before:
        before = sum(taken.values())
        for name in principals:
            taken[name] += budget.acquire(name)
    return taken


@pytest.mark.parametrize(("greedy", "share"), [(1, 50), (3, 25), (9, 10)])
def test_greedy_principals_leave_as_much_as_each_of_them_has(greedy: int, share: int) -> None:
    budget = FairBudget(100)
    taken = take_all(budget, [f"user{number}" for number in range(greedy)])
    assert set(taken.values()) <= {share, share - 1, share + 1}
    newcomer = take_all(budget, ["newcomer"])["newcomer"]
    assert newcomer >= share // 2


def test_one_principal_has_a_maximum() -> None:
    budget = FairBudget(100, max_each=7)
    assert take_all(budget, ["ann", "ben"]) == {"ann": 7, "ben": 7}


def test_what_is_released_can_be_taken_again() -> None:
    budget = FairBudget(10)
    assert budget.acquire("ann", 5)
    assert not budget.acquire("ann", 1)
    budget.release("ann", 5)
    assert budget.acquire("ann", 5)
    assert not budget.acquire("ben", 6)
    assert budget.acquire("ben", 5)
