"""First hits on pictures without captions."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import photograph_weakness
from benchmarks.search_quality.outcomes import Outcome, Query, Reply
from tests.support.settings import make_settings


def test_shares_of_weak_hits_are_by_right_and_wrong() -> None:
    query = Query("word", "dog", frozenset({"a"}))
    hits = (("a", False), ("a", False), ("a", True), ("b", True))
    outcomes = [Outcome(query, Reply((hit,))) for hit in hits]
    assert photograph_weakness.weakness(outcomes) == {
        "queries": 4,
        "R@1": 0.75,
        "weak": 0.5,
        "weak if right": 1 / 3,
        "weak if wrong": 1.0,
    }


async def test_a_synthetic_album_is_searched_without_captions(
    tmp_path: Path, database_dsn: str
) -> None:
    settings = make_settings(
        tmp_path / "data",
        database__url=database_dsn,
        encoder__model="builtin",
        ingest__ocr="off",
        ingest__workers=1,
        startup_timeout_seconds=250,
    )
    options = argparse.Namespace(photos=None, groceries=None, crops=False, count=9, seed=3)
    outcomes = await photograph_weakness.measure(settings, options)
    assert outcomes.keys() == {"synthetic"}
    assert all(len(each.reply.hits) == 5 for each in outcomes["synthetic"])
