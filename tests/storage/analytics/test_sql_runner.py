"""Answers: typed, shortened, bounded; and errors that say what there is."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError
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
    assert row[5:] == [{"a": [1]}, [1, 2], "\\x00ff", "nan", True, "00:01:30"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'infinity'::timestamptz", "infinity"),
        ("'-infinity'::date", "-infinity"),
        ("date '0044-03-15 BC'", "0044-03-15 BC"),
        ("timestamp '0044-03-15 12:00 BC'", "0044-03-15 12:00:00 BC"),
        ("date '12026-01-02'", "12026-01-02"),
        ("time '24:00:00'", "24:00:00"),
        ("timetz '24:00:00+02'", "24:00:00+02"),
        ("interval '1 year 2 months'", "1 year 2 mons"),
        ("interval '400 days 25:00:01.5'", "400 days 25:00:01.5"),
        ("timestamp '2026-01-02 03:04:05.25'", "2026-01-02T03:04:05.25"),
        ("timestamptz '2026-01-02 03:04Z' AT TIME ZONE 'Asia/Kolkata'", "2026-01-02T08:34:00"),
        ("date '2026-01-02'", "2026-01-02"),
        ("ARRAY['infinity'::date, '2026-01-02']", ["infinity", "2026-01-02"]),
        ("tstzrange(NULL, 'infinity')", "(,infinity)"),
        ("int4range(1, 5)", "[1,5)"),
        ("'{[2026-01-02,2026-01-05)}'::datemultirange", "{[2026-01-02,2026-01-05)}"),
        ("12345678901234567890.123456789::numeric", "12345678901234567890.123456789"),
        ("12345678901234567891::numeric", "12345678901234567891"),
        ("1e400::numeric + 1", f"1{'0' * 399}1"),
        (
            "'[12345678901234567890.125, 0.1, 1.5e3]'::jsonb",
            ["12345678901234567890.125", 0.1, 1500],
        ),
        ("0.1::numeric", 0.1),
        ("2.50::numeric", 2.5),
        ("3::numeric", 3),
        ("'NaN'::numeric", "nan"),
        ("9007199254740993::bigint", 9007199254740993),
    ],
)
async def test_no_value_is_refused_or_loses_digits(
    runner: SqlRunner, expression: str, value: object
) -> None:
    answer = await runner.run(f"SELECT {expression}", rows=1)
    assert answer.rows == [[value]]


async def test_a_result_without_rows_has_its_columns(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT asset_id, 1 AS n FROM assets WHERE false", rows=5)
    assert answer.rows == []
    assert [(each.name, each.type) for each in answer.columns] == [
        ("asset_id", "text"),
        ("n", "int4"),
    ]
    assert len((await runner.run("SELECT * FROM assets LIMIT 0", rows=5)).columns) > 10


@pytest.mark.parametrize(
    "text", ["```sql\nSELECT 1 AS n;\n```", "```\nSELECT 1 AS n\n```", "`SELECT 1 AS n`"]
)
async def test_a_statement_may_be_in_a_code_block(runner: SqlRunner, text: str) -> None:
    assert (await runner.run(text, rows=5)).rows == [[1]]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT table_name FROM information_schema.tables",
        "SELECT relname FROM pg_catalog.pg_class",
        "SELECT current_setting('search_path')",
        "SHOW TABLES",
        "DESCRIBE assets",
    ],
)
async def test_who_looks_for_tables_is_told_the_views(runner: SqlRunner, text: str) -> None:
    with pytest.raises(NotAllowedError) as caught:
        await runner.run(text, rows=5)
    views = [view.name for view in (await runner.schema()).views]
    assert ", ".join(views) in str(caught.value)


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


async def test_a_large_row_is_refused_and_the_runner_goes_on(runner: SqlRunner) -> None:
    with pytest.raises(InvalidArgumentError, match=r"row of the result has 1500002 bytes.*left\("):
        await runner.run("SELECT repeat('x', 1500000)", rows=1)
    with pytest.raises(InvalidArgumentError, match=r"row of the result has"):
        await runner.run("SELECT * FROM assets, LATERAL (SELECT repeat('x', 2000000)) AS x", rows=1)
    assert len((await runner.run("SELECT repeat('x', 1000000)", rows=1)).rows) == 1
    many = await runner.run("SELECT repeat('x', 1000000) FROM generate_series(1, 9)", rows=9)
    assert many.truncated == "further rows would exceed 4,194,304 bytes"
    assert len(many.rows) == 4


@pytest.mark.parametrize(
    ("text", "explain"),
    [
        ("SELECT repeat('x', 30000000)::int", False),
        ("SELECT repeat('x', 30000000)::int", True),
        ("SELECT ('[' || repeat('1,', 15000000) || 'x]')::int[]", False),
    ],
)
async def test_a_long_error_message_does_not_arrive(
    runner: SqlRunner, text: str, explain: bool
) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        await runner.run(text, rows=1, explain=explain)
    assert "more than 16,777,216 bytes" in str(refusal.value)
    assert (await runner.run("SELECT 1", rows=1)).rows == [[1]]


async def test_a_message_is_shortened(runner: SqlRunner) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"type integer: \"xxx.*… \(100,0\d\d char"
    ) as error:
        await runner.run("SELECT repeat('x', 100000)::int", rows=1)
    assert len(str(error.value)) < 1_000


async def test_a_plan_with_a_large_constant_is_refused(runner: SqlRunner) -> None:
    text = "SELECT 1 FROM assets WHERE caption = repeat('x', 2000000)"
    with pytest.raises(InvalidArgumentError, match="row of the result has"):
        await runner.run(text, rows=100, explain=True)


async def test_other_tasks_get_a_turn_after_each_row(runner: SqlRunner) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(count_turns())
    # Small enough to arrive together.
    answer = await runner.run("SELECT 1 FROM generate_series(1, 1000)", rows=1000)
    ticking.cancel()
    assert len(answer.rows) == 1000
    assert turns >= 1000


async def test_order_names_and_types_are_those_of_the_statement(runner: SqlRunner) -> None:
    answer = await runner.run(
        "SELECT asset_id AS x, collection AS x, 1::int2 FROM assets ORDER BY asset_id DESC", rows=3
    )
    assert [(each.name, each.type) for each in answer.columns] == [
        ("x", "text"), ("x", "text"), ("int2", "int2"),
    ]  # fmt: skip
    assert [row[0] for row in answer.rows] == [asset_id("other", n) for n in (19, 18, 17)]
    for text in (
        "VALUES (2, 'b'), (1, 'a') ORDER BY 1",
        "WITH a AS (VALUES (1, 'a'), (2, 'b')) TABLE a",
        "(SELECT 1, 'a') UNION ALL (SELECT 2, 'b')",
        "SELECT n AS sightline_row_1, chr(96 + n) AS sightline_row_2 FROM generate_series(1, 2) n",
    ):
        assert (await runner.run(text, rows=5)).rows == [[1, "a"], [2, "b"]], text


async def test_the_statement_is_evaluated_once(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT random() AS x, * FROM generate_series(1, 3)", rows=3)
    assert len({str(row[0]) for row in answer.rows}) == 3
    ((plan,), *_) = (await runner.run("SELECT count(*) FROM assets", rows=9, explain=True)).rows
    assert "Aggregate" in str(plan)


async def test_deep_or_large_json_is_shortened(runner: SqlRunner) -> None:
    deep = await runner.run("SELECT (repeat('[', 2000) || repeat(']', 2000))::json", rows=1)
    assert str(deep.rows[0][0]).startswith("[[[")
    nested = await runner.run("SELECT (repeat('[', 100) || repeat(']', 100))::jsonb", rows=1)
    assert "nested deeper" in str(nested.rows)
    wide = "SELECT jsonb_object_agg(n, n) FROM generate_series(1, 500) AS n"
    (row,) = (await runner.run(wide, rows=1)).rows
    assert isinstance(row[0], dict)
    assert len(row[0]) == 101
    assert row[0]["…"] == "400 more"
    long = "SELECT jsonb_agg(n) FROM generate_series(1, 50000) AS n"
    assert str((await runner.run(long, rows=1)).rows[0][0]).startswith("[1, 2,")


@pytest.mark.parametrize(
    ("json", "start"),
    [
        ("'[' || repeat('9', 5000) || ']'", "[999"),
        (r"""'{"a": "\ud800"}'""", r"""{"a": "\ud800"}"""),
        (r"""'["\udc00\ud800", 1]'""", r"""["\udc00\ud800", 1]"""),
    ],
)
async def test_json_that_python_cannot_hold_or_write_is_text(
    runner: SqlRunner, json: str, start: str
) -> None:
    query = f"SELECT ({json})::json, ARRAY[({json})::json]"
    ((text, (item,)),) = (await runner.run(query, rows=1)).rows  # type: ignore[misc]
    assert str(text).startswith(start)
    assert str(item).startswith(start)
    pair = await runner.run(r"""SELECT '["\ud83d\ude00"]'::json""", rows=1)
    assert pair.rows == [[["😀"]]]


async def test_explain_returns_the_plan(runner: SqlRunner) -> None:
    answer = await runner.run("SELECT * FROM assets", rows=100, explain=True)
    assert [column.name for column in answer.columns] == ["QUERY PLAN"]
    assert any("asset" in str(row[0]) for row in answer.rows)
    assert "cost=" not in str(answer.rows)
    assert "rows=" not in str(answer.rows)


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
        ("SELECT FROM WHERE", ['syntax error at or near "where"']),
        ("SELECT * FROM", ["syntax error at end of input"]),
        ("SELECT (1", ["A ( has no ) after it"]),
        ("SELECT 1) AS q, (SELECT 2", ["A ) has no ( before it"]),
        ("SELECT max(1, 2", ["A ( has no )"]),
        ("SELECT count(* FROM)", ['syntax error at or near "from"']),
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
    assert len(outline.views) == 11
    assert len(outline.functions) == 12
    assert all(each.comment for each in (*outline.views, *outline.functions))


#: What each question reads: tables from end to end, and indexes, each so many times.
SCANS = [
    ("SELECT * FROM nearest('album0000000', 5)", {"embedding_1_hnsw": 1}, {"embedding_1"}),
    (
        "SELECT * FROM search('[1,1,1,1,1,1,1,1]', 5)",
        {"embedding_1_hnsw": 1},
        {"embedding_1"},
    ),
    ("SELECT * FROM knn(collection_name => 'album', k => 5)", {"embedding_1_hnsw": 29}, set()),
    # Few rows meet the condition: the vectors of these are compared.
    (
        "SELECT * FROM search('[1,1,1,1,1,1,1,1]', 5, filters => '{\"asset\": \"album0000000\"}')",
        {},
        {"embedding_1", "embedding_1_hnsw"},
    ),
    ("SELECT * FROM search_text('picture')", {}, {"posting", "vocabulary", "embedding_1"}),
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
        await connection.execute("SET LOCAL search_path = analytics, sightline_vector")
        before = dict(await (await connection.execute(counts)).fetchall())
        await (await connection.execute(question.encode())).fetchall()
        after = dict(await (await connection.execute(counts)).fetchall())
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}
