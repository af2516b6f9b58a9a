"""Answers: typed, shortened, bounded; and errors that say what there is."""

from __future__ import annotations

import pytest

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from tests.storage.analytics.conftest import asset_id


async def test_values_come_with_their_types(runner: SqlRunner) -> None:
    answer = await runner.run(
        "SELECT 1 AS n, 2.5::numeric AS m, 'x' AS t, NULL::date AS d, "
        "timestamptz '2026-01-02 03:04Z' AS a, '{\"a\": [1]}'::jsonb AS j, ARRAY[1, 2] AS l, "
        "'\\x00ff'::bytea AS b, 'NaN'::float8 AS f, true AS y, interval '90 s' AS i",
        rows=5,
    )
    assert [column.name for column in answer.columns] == [
        "n",
        "m",
        "t",
        "d",
        "a",
        "j",
        "l",
        "b",
        "f",
        "y",
        "i",
    ]
    assert [column.type for column in answer.columns][:5] == [
        "int4", "numeric", "text", "date", "timestamptz",
    ]  # fmt: skip
    (row,) = answer.rows
    assert row[:4] == [1, 2.5, "x", None]
    assert str(row[4]).startswith("2026-01-02T03:04:00")
    assert row[5:] == [{"a": [1]}, [1, 2], "\\x00ff", "nan", True, "0:01:30"]


async def test_vectors_and_long_texts_are_shortened(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT embedding, repeat('x', 5000) FROM embeddings LIMIT 1", rows=5)
    ((vector, text),) = answer.rows
    assert answer.columns[0].type == "halfvec"
    assert str(vector).endswith(", … 2 more numbers]")
    assert str(text).endswith("… (5,000 characters)")


async def test_rows_and_bytes_are_limited_and_truncation_is_reported(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT generate_series(1, 100000000)", rows=7)
    assert answer.rows == [[n] for n in range(1, 8)]
    assert answer.truncated == "there are more than 7 rows"
    answer = await runner.run("SELECT repeat('x', 1000) FROM generate_series(1, 900)", rows=900)
    assert answer.truncated == "further rows would exceed 100,000 bytes"
    assert len(answer.rows) < 100
    assert (await runner.run("SELECT 1", rows=1)).truncated is None
    with pytest.raises(InvalidArgumentError, match=r"limit is 0\. Use 1 to 1000"):
        await runner.run("SELECT 1", rows=0)


async def test_explain_returns_the_plan(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT * FROM assets", rows=100, explain=True)
    assert [column.name for column in answer.columns] == ["QUERY PLAN"]
    assert any("asset" in str(row[0]) for row in answer.rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT * FROM pictures", ['"pictures" does not exist', "Views: annotations, assets,"]),
        ("SELECT * FROM sightline.asset", ["permission denied", "Views:"]),
        ("SELECT title FROM assets", ['"title" does not exist', "assets (asset_id, collection,"]),
        ("SELECT captoin FROM assets", ["does not exist", "Perhaps you meant", "caption"]),
        ("SELECT * FROM nearest(1, 2, 3, 4)", ["does not exist", "nearest(asset text, k integer"]),
        ("SELECT closest('x')", ["does not exist", "Functions:", "nearest"]),
        ("SELECT 1 / 0", ["division by zero"]),
        ("SELECT FROM WHERE", ["syntax error"]),
        ("SELECT * FROM nearest('zzzzzzzzzzzz')", ["unknown asset 'zzzzzzzzzzzz'", "view assets"]),
        ("SELECT * FROM nearest('album0000019')", ["has no vector", "coverage()"]),
        (
            "SELECT * FROM outliers(embedding_space => 99)",
            ["unknown embedding space 99", "asset of test-encoder"],
        ),
        ("SELECT * FROM search('[1,2]')", ["has 2 dimensions", "has 8"]),
    ],
)
async def test_errors_contain_the_postgres_message_and_available_names(
    runner: SqlRunner, text: str, words: list[str]
) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        await runner.run(text, rows=5)
    for word in words:
        assert word in str(refusal.value)


async def answers(runner: SqlRunner, text: str) -> list[list[object]]:
    return [list(row) for row in (await runner.run(text, rows=1000)).rows]


async def test_functions_return_correct_results(runner: SqlRunner) -> None:
    first = asset_id("album", 0)
    nearest = await answers(runner, f"SELECT * FROM nearest('{first}', 3)")
    assert nearest[0][:2] == [asset_id("other", 0), "other"]
    assert abs(float(str(nearest[0][2]))) < 1e-3
    assert [row[0] for row in nearest].count(first) == 0
    assert len(nearest) == 3

    searched = await answers(
        runner,
        f"SELECT s.* FROM search((SELECT embedding FROM embeddings WHERE asset_id = '{first}'), "
        "2, collection_name => 'album') AS s",
    )
    assert searched[0][0] == first
    assert {row[3] for row in searched} == {"album"}

    pairs = await answers(runner, "SELECT * FROM duplicates(0.001)")
    assert sorted((row[0], row[2]) for row in pairs) == [
        (asset_id("album", n), asset_id("other", n)) for n in range(5)
    ]

    assert await answers(runner, "SELECT * FROM coverage()") == [
        ["album", 30, 29, 1],
        ["other", 20, 19, 1],
    ]
    ((same,),) = await answers(runner, f"SELECT similarity('{first}', '{asset_id('other', 0)}')")
    assert float(str(same)) > 0.999
    (found,) = await answers(runner, "SELECT * FROM centroid('album', '{\"product\": \"Onion\"}')")
    assert found[1] == 6
    outlying = await answers(runner, "SELECT * FROM outliers(2, collection_name => 'album')")
    assert outlying[0][0] == asset_id("album", 29)

    drifted = await answers(
        runner, "SELECT * FROM drift('[2026-01-01,2026-02-01)', '[2026-02-01,2026-03-01)')"
    )
    by_name = {row[0]: row for row in drifted}
    assert by_name["album"][1:3] == [10, 19]
    assert all(0 <= float(str(row[3])) <= 2 for row in drifted)

    overlaps = await answers(runner, "SELECT * FROM overlapping_annotations()")
    assert [(row[0], row[3], row[6]) for row in overlaps] == [
        (asset_id("album", 0), "van", "car"),
        (asset_id("album", 1), "van", "van"),
    ]
    assert [round(float(str(row[8])), 3) for row in overlaps] == [1.0, 0.333]
    assert len(await answers(runner, "SELECT * FROM overlapping_annotations(0.5)")) == 1


async def test_each_view_returns_its_rows(runner: SqlRunner) -> None:
    expected = {
        "assets": 50,
        "sources": 50,
        "passages": 50,
        "annotations": 6,
        "embeddings": 48,
        "embedding_spaces": 1,
        "searches": 2,
    }
    for view, rows in expected.items():
        assert await answers(runner, f"SELECT count(*) FROM {view}") == [[rows]]
    assert await answers(runner, "SELECT vector_count, collections FROM embedding_spaces") == [
        [48, ["album", "other"]]
    ]


async def test_every_view_and_function_has_a_comment(runner: SqlRunner) -> None:
    outline = await runner.schema()
    assert len(outline.views) == 9
    assert len(outline.functions) == 10
    assert all(each.comment for each in (*outline.views, *outline.functions))


#: What each question reads: tables from end to end, and indexes, each so many times.
SCANS = [
    ("SELECT * FROM nearest('album0000000', 5)", {"embedding_1_hnsw": 1}, {"embedding_1"}),
    (
        "SELECT * FROM search('[1,1,1,1,1,1,1,1]', 5, collection_name => 'album')",
        {"embedding_1_hnsw": 1},
        {"embedding_1"},
    ),
    (
        "SELECT similarity('album0000000', 'album0000001')",
        {"embedding_1_asset_id_idx": 2},
        {"embedding_1"},
    ),
    ("SELECT * FROM duplicates(0.01)", {"embedding_1_hnsw": 48}, set()),
    # These are about all vectors: one pass each, or two where a mean comes first.
    ("SELECT * FROM centroid()", {"embedding_1": 1}, set()),
    ("SELECT * FROM outliers(3)", {"embedding_1": 2}, set()),
    (
        "SELECT * FROM drift('[2026-01-01,2026-02-01)', '[2026-02-01,2026-03-01)')",
        {"embedding_1": 1},
        set(),
    ),
    ("SELECT * FROM overlapping_annotations()", {"annotation_asset_idx": 7}, set()),
    ("SELECT * FROM coverage()", {"asset": 1}, set()),
    ("SELECT * FROM clusters(3)", {"cluster_pkey": 1}, {"cluster", "cluster_member"}),
    (
        "SELECT * FROM assets WHERE asset_id = 'album0000000'",
        {"asset_pkey": 1},
        {"asset", "embedding_1"},
    ),
]


async def test_each_query_scans_only_what_it_needs(filled: Database) -> None:
    await cluster_analysis.cluster_collections(filled, k=3)
    async with filled.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
    for question, scanned, unread in SCANS:
        read = await scans(
            filled, question, whole_tables=bool({"embedding_1", "asset"} & set(scanned))
        )
        assert {name: read.get(name, 0) for name in scanned} == scanned, question
        assert not unread & set(read), question


async def scans(database: Database, question: str, *, whole_tables: bool) -> dict[str, int]:
    """How often each table was read from end to end, and each index."""
    counts = (
        "SELECT relname::text, pg_stat_get_xact_numscans(oid) FROM pg_class "
        "WHERE relnamespace = 'sightline'::regnamespace"
    )
    async with database.connection() as connection:
        if not whole_tables:
            # With so few rows the planner would rather read them all, as with many it would not.
            await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        await connection.execute("SET LOCAL search_path = analytics, public")
        before = dict(await (await connection.execute(counts)).fetchall())
        await (await connection.execute(question.encode())).fetchall()
        after = dict(await (await connection.execute(counts)).fetchall())
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}
