"""Estimates of the planner tell an analyst nothing about the content of others (finding 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.db.pool import Database
from sightline.storage.records import collections
from tests.support.database_rows import add_asset, add_passage, add_source

#: Keys and kinds: statistics of them tell numbers of rows, but no content.
_WITHOUT_CONTENT = {"kind", "state", "level", "ordinal", "k", "number", "id"}

OTHERS = 400

#: Conditions on content that only others have, and the same on content that nobody has.
PAIRS = [
    ("passages", "text >= '{}' AND text < '{}~'", "client: B", "patent: B"),
    ("passages", "text = '{}'", "client: B", "patent: B"),
    ("assets", "caption = '{}'", "merger", "picnic"),
    ("assets", "metadata = '{}'", '{"deal": 1}', '{"deal": 2}'),
    (
        "assets",
        "captured_at BETWEEN '{}' AND timestamptz '{}' + '1 day'",
        "2031-05-01",
        "2032-05-01",
    ),
    ("assets", "width BETWEEN {} AND {} + 1", "640", "2"),
    ("sources", "name >= '{}' AND name < '{}~'", "secret", "public"),
    ("searches", "query >= '{}' AND query < '{}~'", "dismissal", "holiday"),
    (
        "searches",
        "created_at BETWEEN '{}' AND timestamptz '{}' + '1 h'",
        "2031-05-01",
        "2032-05-01",
    ),
    ("annotations", "label = '{}'", "tumor", "tree"),
    ("annotations", "author = '{}'", "bob", "eve"),
    ("regions", "label = '{}'", "IBAN", "EXIT"),
]

FILL = (
    b"""UPDATE asset SET captured_at = '2031-05-01 12:00', metadata = '{"deal": 1}'
    WHERE caption IS NOT NULL""",
    b"""INSERT INTO retrieval_log (collection, tool, query, total_ms, result_count, created_at)
    SELECT 'other', 'search_text', 'dismissal', 1, 0, '2031-05-01 00:30'
    FROM generate_series(1, 400)""",
    b"""INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin, author)
    SELECT id, 'tumor', 0, 0, 1, 1, 'person', 'bob' FROM asset WHERE caption IS NOT NULL""",
    b"""INSERT INTO region (asset_id, kind, x0, y0, x1, y1, label)
    SELECT id, 'ocr_line', 0, 0, 1, 1, 'IBAN' FROM asset WHERE caption IS NOT NULL""",
)


@pytest.fixture
async def analyst_dsn(database: Database) -> AsyncIterator[str]:
    """The DSN of an analyst who sees only ``album``; ``other`` is full."""
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await add_asset(connection, album, "a" * 12)
        other = await collections.ensure(connection, "other")
        for number in range(OTHERS):
            source = await add_source(connection, other, f"secret {number}.jpg")
            await add_asset(connection, other, f"b{number:011}", source_id=source, caption="merger")
        await add_passage(connection, other, source, "client: B")
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, kind, text, tokens, token_count) "
            "SELECT collection_id, source_id, kind, text, tokens, token_count "
            "FROM passage, generate_series(1, %s)",
            [OTHERS],
        )
        for statement in FILL:
            await connection.execute(statement)
    async with database.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
    yield await grant_analyst(database.dsn, "erin", collections=["album"])
    await revoke_analyst(database.dsn, "erin")


def test_an_estimate_does_not_depend_on_the_content_of_others(
    analyst_dsn: str, database_dsn: str
) -> None:
    with psycopg.connect(analyst_dsn, autocommit=True) as session:

        def estimates(view: str, condition: str) -> list[object]:
            query = f"EXPLAIN (FORMAT JSON) SELECT FROM {view} WHERE {condition}"
            row = session.execute(query.encode()).fetchone()
            assert row is not None
            return numbers(row[0][0]["Plan"])

        for view, condition, present, absent in PAIRS:
            assert estimates(view, condition.format(present, present)) == estimates(
                view, condition.format(absent, absent)
            ), (view, condition)
        # With statistics it would.
        with psycopg.connect(database_dsn, autocommit=True) as owner:
            owner.execute("ALTER TABLE sightline.asset ALTER COLUMN caption SET STATISTICS DEFAULT")
            owner.execute("ANALYZE sightline.asset")
        assert estimates("assets", "caption = 'merger'") != estimates(
            "assets", "caption = 'picnic'"
        )


def numbers(plan: dict[str, Any]) -> list[object]:
    """Return type, rows and costs of every node."""
    own = [plan[key] for key in ("Node Type", "Plan Rows", "Startup Cost", "Total Cost")]
    return [*own, *(numbers(each) for each in plan.get("Plans", ()))]


async def test_no_content_that_a_view_shows_has_statistics(database: Database) -> None:
    """A new column of a view must be added to the list in the migration."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT DISTINCT t.relname::text, a.attname::text, a.attstattarget "
            "FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid "
            "JOIN pg_class AS v ON v.oid = r.ev_class "
            "AND v.relnamespace = 'analytics'::regnamespace "
            "JOIN pg_class AS t ON t.oid = d.refobjid "
            "AND t.relnamespace = 'sightline'::regnamespace "
            "JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid "
            "WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjsubid > 0"
        )
        shown = await cursor.fetchall()
    assert len(shown) > 70
    with_statistics = {f"{table}.{column}" for table, column, target in shown if target != 0}
    columns = {each.partition(".")[2] for each in with_statistics}
    # pgvector's operators are not leakproof, so the planner does not use statistics of vectors.
    assert {
        each for each in columns - _WITHOUT_CONTENT - {"embedding"} if not each.endswith("_id")
    } == set()
