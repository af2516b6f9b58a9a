"""Typed queries on a few texts, through the MCP tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import typed_queries
from benchmarks.search_quality.outcomes import Query, recall
from tests.support.settings import make_settings


async def test_both_searches_find_the_text_of_a_query(tmp_path: Path, database_dsn: str) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "bearing.txt").write_text("bearing 6205-2RS1 for the pump", encoding="utf-8")
    (texts / "ferry.txt").write_text("the ferry leaves at noon", encoding="utf-8")
    queries = [
        Query("id", "6205-2RS1", frozenset({"bearing"})),
        Query("word", "ferry", frozenset({"ferry"})),
        Query("wrong", "ferry", frozenset({"bearing"})),
    ]
    settings = make_settings(
        tmp_path / "data",
        database__url=database_dsn,
        encoder__model="builtin",
        ingest__ocr="off",
        ingest__workers=1,
        startup_timeout_seconds=250,
    )
    outcomes = await typed_queries.measure(settings, queries, texts)
    assert outcomes.keys() == {"search_text", "search_images"}
    for found in outcomes.values():
        assert [each.is_right for each in found] == [True, True, False]
        assert recall(found) == pytest.approx(2 / 3)


def test_a_query_for_nothing_has_no_relevant_text(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(json.dumps({"kind": "none", "q": "unicorn", "rel": ["-"]}), encoding="utf-8")
    assert typed_queries.load_queries(path) == [Query("none", "unicorn", frozenset())]


def test_a_line_without_a_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"kind": "id", "q": "x", "rel": ["a"]}\n{"q": "x"}\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="line 2: needs kind, q and rel"):
        typed_queries.load_queries(path)
