"""Neither the retrieval log nor the audit log can be flooded by one caller."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from sightline.server.mcp_server.audit import Audit
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_value, load_sql
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.isolation.caller import as_caller, as_principal
from sightline.storage.retrieval import (
    ImageRequest,
    ImageSearch,
    LogLimits,
    RetrievalLog,
    Selection,
)
from sightline.storage.retrieval.filters import filter_language
from sightline.storage.retrieval.retrieval_log import (
    MAX_ARGUMENT_BYTES,
    LoggedSearch,
    limit_arguments,
)
from tests.security.two_principals import House
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

#: The filter of the review: 64 conditions on a text, each with 200 values of 500 characters.
HUGE = {"or": [{"source": [f"{n:0>500}" for n in range(200)]} for _ in range(64)]}
#: The largest row of the log, with its texts and its results.
MAX_ROW_BYTES = 20_000


def searched(principal: str | None, number: int = 0, **fields: Any) -> LoggedSearch:
    values: dict[str, Any] = {
        "tool": "search_images",
        "collections": None,
        "query": f"{number}",
        "arguments": {},
        "timings_ms": {"total": 1.0},
        "results": [],
    }
    return LoggedSearch(principal=principal, **{**values, **fields})


async def add_rows(database: Database, principal: str | None, count: int, days: int = 0) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO retrieval_log (principal, tool, query, total_ms, result_count, created_at)"
            " SELECT %s, 'x', n::text, 1, 0, now() - make_interval(days => %s, secs => %s - n)"
            " FROM generate_series(1, %s) AS n",
            [principal, days, count, count],
        )


async def kept(database: Database) -> dict[str | None, int]:
    async with database.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT principal, count(*) FROM retrieval_log GROUP BY principal"
            )
        ).fetchall()
    return dict(rows)


def test_the_size_of_a_whole_filter_is_limited() -> None:
    with pytest.raises(InvalidArgumentError, match=r"at most 20,000 characters.*'source'"):
        filter_language.parse(HUGE)
    numbers = {"or": [{f"k{n}": list(range(200))} for n in range(6)]}
    with pytest.raises(InvalidArgumentError, match=r"at most 1,000 values.*1,200.*'k5'"):
        filter_language.parse(numbers)
    keys = {"and": [{f"{n:0>499}": {"gte": 1}} for n in range(41)]}
    with pytest.raises(InvalidArgumentError, match="at most 20,000 characters"):
        filter_language.parse(keys)
    many = {"and": [{f"k{n}": 1} for n in range(65)]}
    with pytest.raises(InvalidArgumentError, match=r"at most 64 conditions.*'k64'"):
        filter_language.parse(many)
    assert filter_language.parse({"source": [f"{n}.jpg" for n in range(200)]}) is not None


async def test_the_largest_search_is_a_small_row(database: Database) -> None:
    corpus = Corpus(database, ColorHistogramEncoder())
    for number in range(100):
        await corpus.add(f"{number}", caption=f"red {number}")
    search = ImageSearch(database, corpus.encoder, corpus.encoder, signing_key=b"key")
    filters = {"or": [{"source": [f"{n:0>400}" for n in range(45)]}, {"kind": "image"}]}
    await search.search(
        ImageRequest(
            query="red " * 30_000,
            selection=Selection(filters=filters),
            limit=100,
            principal="p" * 30_000,
        )
    )
    async with database.connection() as connection:
        size = await fetch_value(connection, "SELECT length(l::text) FROM retrieval_log AS l")
        arguments = await fetch_value(connection, "SELECT arguments FROM retrieval_log")
        results = await fetch_value(
            connection, "SELECT jsonb_array_length(results) FROM retrieval_log"
        )
    assert size < MAX_ROW_BYTES
    assert results == 100
    assert arguments["limit"] == 100
    assert arguments["selection"]["bytes"] > 15_000
    assert len(arguments["selection"]["sha256"]) == 64


@pytest.mark.parametrize("size", [1, 300, 4_000, 5_000, 10**6])
@pytest.mark.parametrize("names", [1, 12])
def test_logged_arguments_are_limited_and_small_ones_are_whole(size: int, names: int) -> None:
    arguments: dict[str, object] = {f"a{n}": "ü" * (size // names) for n in range(names)}
    limited = limit_arguments(arguments | {"limit": 5})
    assert len(json.dumps(limited, ensure_ascii=False).encode()) <= MAX_ARGUMENT_BYTES + 100
    assert limited["limit"] == 5
    assert limited.keys() == {*arguments, "limit"}
    if size <= 300:
        assert limited == arguments | {"limit": 5}


async def test_rows_beyond_their_age_are_deleted(database: Database) -> None:
    await add_rows(database, "bob", 7, days=40)
    await add_rows(database, "bob", 3, days=20)
    assert await RetrievalLog(database, LogLimits(retention_days=0)).prune() == 0
    assert await RetrievalLog(database, LogLimits(retention_days=30)).prune() == 7
    assert await kept(database) == {"bob": 3}


@pytest.mark.parametrize("principal", ["alice", None])
async def test_a_principal_loses_its_own_oldest_rows(
    database: Database, principal: str | None
) -> None:
    await add_rows(database, "bob", 5, days=3)
    await add_rows(database, principal, 30)
    log = RetrievalLog(database, LogLimits(max_rows_per_principal=10))
    with as_caller("bob"), as_principal("bob"):  # whoever searched last
        assert await log.prune() == 20
    assert await kept(database) == {"bob": 5, principal: 10}
    async with database.connection() as connection:
        newest = await fetch_value(
            connection,
            "SELECT min(query::integer) FROM retrieval_log WHERE created_at > now() - "
            "interval '1 day'",
        )
    assert newest == 21


async def test_beyond_all_rows_those_with_the_most_lose_some(database: Database) -> None:
    for principal, count in (("bob", 5), ("alice", 40), ("mallory", 30), (None, 20)):
        await add_rows(database, principal, count)
    log = RetrievalLog(database, LogLimits(max_rows=75, max_rows_per_principal=45))
    assert await log.prune() == 20
    assert await kept(database) == {"bob": 5, "alice": 20, "mallory": 30, None: 20}


async def test_pruning_takes_bounded_steps_and_ends(database: Database) -> None:
    await add_rows(database, "alice", 12_000, days=100)
    await add_rows(database, "alice", 12_000)
    log = RetrievalLog(database, LogLimits(max_rows_per_principal=100))
    assert await log.prune() == 23_900
    assert await log.prune() == 0


async def test_searches_start_the_pruning_in_the_background(database: Database) -> None:
    await add_rows(database, "alice", 50)
    log = RetrievalLog(database, LogLimits(max_rows_per_principal=10), prune_every=4)
    with as_caller("bob"), as_principal("bob"):  # sees no rows
        log.start()
    try:
        for number in range(4):
            await log.write(searched("alice", number))
        async with asyncio.timeout(60):
            while (await kept(database))["alice"] > 10:
                pass  # each look is a round trip to the database
    finally:
        await log.close()
        await log.close()


async def test_the_log_is_pruned_by_its_indexes(database: Database) -> None:
    await add_rows(database, "alice", 3_000)
    await add_rows(database, "bob", 3_000)
    async with database.connection(autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE sightline.retrieval_log")
        plans = []
        for condition in (
            "created_at < now() - make_interval(days => 90)",
            "principal = 'alice'",
            "principal IS NULL",
        ):
            statement = sql.SQL("EXPLAIN " + load_sql("retrieval")["prune_log"])
            explain = statement.format(condition=sql.SQL(condition))
            cursor = await connection.execute(explain, {"rows": 10})
            plans.append(str(await cursor.fetchall()))
    assert "retrieval_log_created_at_idx" in plans[0]
    assert all("retrieval_log_principal_idx" in plan for plan in plans[1:])


async def test_a_huge_filter_is_refused_by_the_server_and_not_logged(house: House) -> None:
    async with house.client("alice") as client:
        result = await client.call_tool("search_images", {"query": "bay", "filters": HUGE})
    assert result.is_error
    assert "at most 20,000 characters" in str(result.content)
    (largest,) = house.rows("SELECT max(length(l::text)) FROM sightline.retrieval_log AS l")
    assert largest[0] < MAX_ROW_BYTES


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_of_the_audit_log_is_small_whatever_the_arguments(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    arguments: dict[str, object] = {f"{n:0>5000}": "x" * 1_000 for n in range(1_000)}
    arguments |= {"assets": [f"{n:012}" for n in range(10_000)], "collection": "c" * 10**6}
    audit.record("x", arguments, principal="p" * 30_000, outcome="refused", seconds=1)
    audit.close()
    assert (tmp_path / "audit.jsonl").stat().st_size < 5_000


def test_refused_calls_share_a_line_a_minute_and_are_counted(tmp_path: Path) -> None:
    now = 0.0
    audit = Audit(tmp_path / "audit.jsonl", clock=lambda: now)

    def record(principal: str, outcome: Any, times: int = 1) -> None:
        for _ in range(times):
            audit.record("search", {}, principal=principal, outcome=outcome, seconds=0)

    record("mallory", "limited", 6_000)
    record("mallory", "denied", 6_000)
    record("bob", "limited")
    record("mallory", "ok", 2)
    now = 61.0
    record("mallory", "limited", 2)
    audit.close()
    found = [
        (each["principal"], each["outcome"], each.get("repeated"))
        for each in lines(tmp_path / "audit.jsonl")
    ]
    assert found == [
        ("mallory", "limited", None),
        ("mallory", "denied", None),
        ("bob", "limited", None),
        ("mallory", "ok", None),
        ("mallory", "ok", None),
        ("mallory", "limited", 5_999),
    ]
