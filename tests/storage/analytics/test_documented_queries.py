"""The queries of docs/how-to/analyze.md, run as an agent runs them."""

from __future__ import annotations

import re
from pathlib import Path

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "how-to" / "analyze.md").read_text(encoding="utf-8")
SCHEMA = (DOCS / "reference" / "analytics-schema.md").read_text(encoding="utf-8")


async def test_the_queries_of_the_page_return_rows(filled: Database, runner: SqlRunner) -> None:
    await cluster_analysis.cluster_collections(filled)
    found = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 15  # twelve, two searches, and one on what was analysed
    for question in found:
        assert (await runner.run(question, rows=100)).rows, question


async def test_the_page_lists_all_views_and_functions(runner: SqlRunner) -> None:
    outline = await runner.schema()
    tables = SCHEMA.partition("## Names of columns")[0]
    listed = re.findall(r"^\| `(\w+)(?:\(([^)]*)\))?`", tables, re.MULTILINE)
    assert {name for name, arguments in listed if not arguments} == {
        view.name for view in outline.views
    }
    arguments = {
        each.name: [argument.split()[0] for argument in each.arguments.split(", ")]
        for each in outline.functions
    }
    assert {name: given.split(", ") for name, given in listed if given} == arguments
