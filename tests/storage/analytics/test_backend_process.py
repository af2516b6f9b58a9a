"""A Postgres session whose memory is limited fails alone, with an ordinary error."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from sightline.storage.analytics.backend_process import limit_private_memory, lower_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit of Linux")

MIB = 2**20
#: Take memory in different places: values, sorts, hashes, plans, recursion, arrays, errors.
HUNGRY = [
    "SELECT length(repeat('x', 400000000))",
    "SELECT repeat('x', 30000000)::int",
    "SELECT array_agg(n) FROM generate_series(1, 5000000) AS n",
    "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 100000)",
    "SELECT jsonb_agg(n) FROM generate_series(1, 2000000) AS n",
    "SELECT count(DISTINCT n) FROM generate_series(1, 300000) AS n",
    "SELECT n % 100000, count(*) FROM generate_series(1, 200000) AS n GROUP BY 1 OFFSET 200000",
    "SELECT regexp_matches(repeat('a', 2000000), '(a|aa|aaa)+$')",
    f"SELECT {'(' * 5000}1{')' * 5000}",
    f"SELECT 1{' + 1' * 20000}",
    "SELECT (repeat('[', 1000000) || repeat(']', 1000000))::jsonb",
]


def data_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (limit,) = (each for each in lines if each.startswith("Max data size"))
    return limit.removeprefix("Max data size")


async def test_a_session_without_memory_fails_alone(postgres_dsn: str) -> None:
    with (
        psycopg.connect(postgres_dsn, autocommit=True) as other,
        psycopg.connect(postgres_dsn, autocommit=True) as limited,
    ):
        other.execute("CREATE TEMP TABLE kept AS SELECT 1 AS n")
        pid, user = limited.info.backend_pid, limited.info.user
        assert await limit_private_memory(pid, user, 8 * MIB)
        failed = 0
        for text in HUNGRY:
            try:
                limited.execute(text.encode()).fetchall()
            except errors.OutOfMemory:
                failed += 1
            except (errors.StatementTooComplex, errors.ProgramLimitExceeded):
                pass
        assert failed >= 3
        assert limited.execute("SELECT 1").fetchone() == (1,)
        # A crash of one session ends them all.
        assert other.execute("SELECT n FROM kept").fetchone() == (1,)


async def test_only_a_session_of_that_user_is_limited(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        pid = connection.info.backend_pid
        assert not await limit_private_memory(pid, "somebody", MIB)
        assert not await limit_private_memory(os.getpid(), connection.info.user, MIB)
        assert "unlimited" in data_limit(pid)


async def test_a_process_of_this_user_is_limited_without_another_process() -> None:
    title = "postgres: somebody database [local] idle"
    process = await asyncio.create_subprocess_exec("bash", "-c", f"exec -a '{title}' sleep 600")
    try:
        # `exec` may not have happened yet.
        while not await limit_private_memory(process.pid, "somebody", 64 * MIB):
            assert process.returncode is None
        assert 64 * MIB <= int(data_limit(process.pid).split()[0]) < 128 * MIB
    finally:
        process.kill()
        await process.wait()


async def test_only_a_session_of_that_user_gets_a_low_priority(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        pid, user = connection.info.backend_pid, connection.info.user
        assert not await lower_priority(pid, "somebody")
        assert os.getpriority(os.PRIO_PROCESS, pid) < 19
        assert await lower_priority(pid, user)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_missing_process_is_not_limited() -> None:
    assert not await limit_private_memory(2**22 + 1, "somebody", MIB)
    assert not await lower_priority(2**22 + 1, "somebody")
