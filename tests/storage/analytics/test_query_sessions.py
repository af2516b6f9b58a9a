"""Who gets a session while sessions that cannot be ended still run."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg import AsyncConnection

from sightline.storage.analytics.query_sessions import (
    QuerySession,
    QuerySlots,
    limit_received_bytes,
)
from sightline.storage.errors import ModelOverloadedError


async def leave_running(slots: QuerySlots, caller: str | None) -> tuple[QuerySession, list[str]]:
    """Use a slot for a session that does not end; return when it counts as stuck."""
    session, calls = QuerySession(1), list[str]()
    stuck = asyncio.Event()

    async def when_stuck() -> None:
        calls.append("stuck")
        stuck.set()

    async with slots.hold(caller) as slot:
        slot.session, slot.when_stuck = session, when_stuck
    await stuck.wait()
    return session, calls


async def use(slots: QuerySlots, caller: str | None) -> None:
    async with slots.hold(caller) as slot:
        slot.session = QuerySession(1)
        slot.session.ended.set()


async def test_a_caller_with_a_stuck_session_waits_for_its_end() -> None:
    slots = QuerySlots(end_seconds=0)
    session, calls = await leave_running(slots, "alice")
    with pytest.raises(ModelOverloadedError, match=r"still runs in Postgres.*cannot be stopped"):
        await use(slots, "alice")
    await use(slots, "bob")
    session.ended.set()
    await asyncio.gather(*slots._ending)
    await use(slots, "alice")
    assert calls == ["stuck"]
    assert not slots._stuck


async def test_stuck_sessions_leave_the_slots_to_others_up_to_a_limit() -> None:
    slots = QuerySlots(end_seconds=0)
    for number in range(8):
        await use(slots, "bob")
        await leave_running(slots, f"caller {number}")
    with pytest.raises(ModelOverloadedError, match="8 statements of several callers"):
        await use(slots, "bob")
    for task in slots._ending:
        task.cancel()


async def test_a_slot_is_held_until_its_session_has_ended() -> None:
    slots = QuerySlots(end_seconds=3600)
    sessions = [QuerySession(1), QuerySession(1)]
    for session in sessions:
        async with slots.hold("alice") as slot:
            slot.session = session
    third = asyncio.create_task(use(slots, "alice"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not third.done()
    sessions[0].ended.set()
    await third
    sessions[1].ended.set()
    await asyncio.gather(*slots._ending)


async def test_a_caller_that_waited_is_refused_if_its_session_is_stuck_meanwhile() -> None:
    slots = QuerySlots(end_seconds=0)
    session = QuerySession(1)
    async with slots.hold("alice") as one, slots.hold("alice") as two:
        waiting = asyncio.create_task(use(slots, "alice"))
        await asyncio.sleep(0)
        one.session = two.session = session
    with pytest.raises(ModelOverloadedError, match="still runs in Postgres"):
        await waiting
    session.ended.set()
    await asyncio.gather(*slots._ending)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_session_ends_when_postgres_has_closed_it(
    postgres_dsn: str, cancelled: bool
) -> None:
    sessions: list[QuerySession] = []
    started = asyncio.Event()

    async def query() -> None:
        async with (
            await AsyncConnection.connect(postgres_dsn, autocommit=True) as connection,
            limit_received_bytes(connection, 10_000) as session,
        ):
            await connection.execute("SET client_connection_check_interval = '10ms'")
            sessions.append(session)
            started.set()
            await connection.execute("SELECT pg_sleep(600)" if cancelled else "SELECT 1")

    task = asyncio.create_task(query())
    await started.wait()
    if cancelled:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    await sessions[0].ended.wait()
    with psycopg.connect(postgres_dsn) as other:
        rows = other.execute(
            "SELECT FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE '%pg_sleep(600)' "
        ).rowcount
    assert rows == 0


async def test_a_session_that_sends_too_much_ends_too(postgres_dsn: str) -> None:
    async with (
        await AsyncConnection.connect(postgres_dsn, autocommit=True) as connection,
        limit_received_bytes(connection, 100_000) as session,
    ):
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        assert session.exceeded
    await session.ended.wait()
