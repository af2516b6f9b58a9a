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

#: Shown columns with statistics: ids, which nobody can guess (`test_public_ids`), and vectors:
#: pgvector's operators are not leakproof, so the planner does not use their statistics.
WITH_STATISTICS = {
    *("asset.id", "source.id", "region.id", "passage.id", "annotation.id", "retrieval_log.id"),
    *("asset.source_id", "passage.source_id", "passage.asset_id", "passage.region_id"),
    *("region.asset_id", "annotation.asset_id", "cluster_member.asset_id", "embedding.embedding"),
    *("embedding.asset_id", "embedding.region_id", "embedding.passage_id"),
    # Small numbers, which tell only how many rows a space has; its table tells the same.
    *("embedding.embedding_space_id", "embedding_space.id"),
}
#: Views join on them and do not show them.
JOINED = {
    *("collection.id", "cluster.embedding_space_id"),
    *("collection_embedding_space.level", "collection_embedding_space.embedding_space_id"),
}

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
    ("assets", "kind = '{}'", "image", "frame"),
    ("assets", "page IS NULL AND kind = '{}'", "image", "page"),
    ("sources", "source >= '{}' AND source < '{}~'", "secret", "public"),
    ("sources", "path = '{}'", "/1", "/2"),
    ("assets", "content_sha256 = '{}'", "00" * 32, "11" * 32),
    ("sources", "state = '{}'", "done", "failed"),
    ("sources", "kind = '{}'", "image", "pdf"),
    ("passages", "kind = '{}'", "chunk", "subtitle"),
    ("regions", "kind = '{}'", "ocr_line", "detection"),
    ("regions", "ordinal = {}", "7", "8"),
    ("cluster_members", "k = {}", "3", "4"),
    ("cluster_members", "cluster = {}", "1", "2"),
    ("searches", "query >= '{}' AND query < '{}~'", "dismissal", "holiday"),
    (
        "searches",
        "created_at BETWEEN '{}' AND timestamptz '{}' + '1 h'",
        "2031-05-01",
        "2032-05-01",
    ),
    ("annotations", "label = '{}'", "tumor", "tree"),
    ("annotations", "lower(label) = '{}'", "tumor", "tree"),
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
    b"""INSERT INTO region (asset_id, kind, ordinal, x0, y0, x1, y1, label)
    SELECT id, 'ocr_line', 7, 0, 0, 1, 1, 'IBAN' FROM asset WHERE caption IS NOT NULL""",
    b"""INSERT INTO embedding_space (encoder, weights, preprocessing, dimension, level)
    VALUES ('e', 'w', 'p', 2, 'asset')""",
    b"""INSERT INTO cluster (
        collection_id, embedding_space_id, k, number, asset_count, mean_distance, analyzed_at)
    SELECT collection_id, s.id, 3, 1, 1, 0, now() FROM asset, embedding_space AS s
    WHERE caption IS NOT NULL LIMIT 1""",
    b"""INSERT INTO cluster_member (
        asset_id, collection_id, embedding_space_id, k, number, distance)
    SELECT a.id, collection_id, s.id, 3, 1, 0 FROM asset AS a, embedding_space AS s
    WHERE caption IS NOT NULL""",
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
    # Policies and joins compare collections by numbers that no view shows.
    with_statistics = {
        f"{table}.{column}"
        for table, column, target in shown
        if target != 0 and column != "collection_id"
    }
    assert with_statistics - JOINED == WITH_STATISTICS
