"""A search passes few modules between its tool and its SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.environment import temporary_settings
from benchmarks.search_path import TOOL, SearchPath, trace_search

MAX_MODULES = 12


@pytest.mark.slow
async def test_a_search_passes_at_most_twelve_modules_between_tool_and_sql(tmp_path: Path) -> None:
    with temporary_settings() as settings:
        path = await trace_search(settings, tmp_path)
    assert any(TOOL in chain for chain in path.chains)
    assert any(chain[-1].endswith(".vector_retriever") for chain in path.chains)
    assert path.longest <= MAX_MODULES


def test_the_longest_chain_excludes_the_tool_and_its_callers() -> None:
    path = SearchPath(frozenset({("server", TOOL, "a", "b"), ("c",)}), frozenset())
    assert path.between() == [("a", "b"), ("c",)]
    assert path.longest == 2
