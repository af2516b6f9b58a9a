"""A statement that cannot be stopped costs only its caller."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.analytics import sql_runner
from sightline.storage.analytics.analyst_roles import shared_query_role
from sightline.storage.analytics.query_sessions import QuerySlots
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.errors import InvalidArgumentError, ModelOverloadedError, StorageError
from sightline.storage.postgres import EmbeddedPostgres
from tests.support.unstoppable_sql import UNSTOPPABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Start a server of its own: its sessions end in a crash."""
    folder = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, durable=False, stop_seconds=1) as started:
        schema_migration.upgrade(started.dsn())
        asyncio.run(shared_query_role(started.dsn()))
        yield started


def stuck_sessions(server: EmbeddedPostgres) -> list[int]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'sightline query_sql' "
            "AND state = 'active' AND query ~ 'translate|&&' AND query !~ '^PREPARE'"
        ).fetchall()
    return [pid for (pid,) in rows]


def cpu_ticks(pid: int) -> int:
    """Return the user time: much of it means that it is inside the function."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11])


@pytest.mark.parametrize("end", ["time limit", "cancelled"])
async def test_others_go_on_while_its_caller_waits(
    server: EmbeddedPostgres, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_runner, "_GRACE_SECONDS", 0.1)
    runner = SqlRunner(
        make_conninfo(server.dsn(), user="sightline_query"),
        timeout_seconds=1,
        max_rows=10,
        max_bytes=1000,
        slots=QuerySlots(end_seconds=0.1),
        is_local=True,
    )
    call = asyncio.create_task(runner.run(UNSTOPPABLE, rows=1, caller="alice"))
    while not (pids := stuck_sessions(server)):
        assert not call.done()
        await asyncio.sleep(0)
    before = cpu_ticks(pids[0])
    while cpu_ticks(pids[0]) < before + 20:
        assert not call.done()
        await asyncio.sleep(0)
    if end == "cancelled":
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        with pytest.raises(InvalidArgumentError, match="longer than 1 s"):
            await call
    while not runner._slots._stuck:
        assert runner._slots._ending
        await asyncio.sleep(0)
    assert stuck_sessions(server) == pids
    with pytest.raises(ModelOverloadedError, match="still runs in Postgres"):
        await runner.run("SELECT 1", rows=1, caller="alice")
    assert (await runner.run("SELECT 1", rows=1, caller="bob")).rows == [[1]]
    while os.getpriority(os.PRIO_PROCESS, pids[0]) != 19:
        assert runner._slots._stuck
        await asyncio.sleep(0)
    witness = psycopg.connect(server.dsn(), autocommit=True)
    os.kill(pids[0], signal.SIGQUIT)
    await asyncio.gather(*runner._slots._ending)
    with suppress(psycopg.OperationalError):
        while True:  # until Postgres ends all its sessions, to start again
            witness.execute("SELECT 1")
            await asyncio.sleep(0)
    rows = None
    while rows is None:
        with suppress(psycopg.OperationalError, StorageError):
            await asyncio.to_thread(server.ensure_running)
            rows = (await runner.run("SELECT 1", rows=1, caller="alice")).rows
    assert rows == [[1]]


async def test_the_statement_of_a_caller_that_has_gone_ends(server: EmbeddedPostgres) -> None:
    """One that looks for signals, and without a time limit."""
    runner = SqlRunner(
        make_conninfo(server.dsn(), user="sightline_query"),
        timeout_seconds=3600,
        max_rows=10,
        max_bytes=1000,
        slots=QuerySlots(end_seconds=3600),
    )
    text = "SELECT count(*) FROM generate_series(1, 1000000000000) AS n WHERE '{}' && ARRAY[n]"
    call = asyncio.create_task(runner.run(text, rows=1, caller="alice"))
    while not stuck_sessions(server):
        assert not call.done()
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.gather(*runner._slots._ending)
    assert stuck_sessions(server) == []
