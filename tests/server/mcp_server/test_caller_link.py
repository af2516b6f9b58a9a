"""Tests of stopping calls whose client has gone."""

from __future__ import annotations

import asyncio

import pytest

from sightline.server.mcp_server.caller_link import (
    CallerLink,
    CallStoppedError,
    SessionCalls,
    current_link,
    stop_call,
)


async def wait_for_ever() -> None:
    with stop_call("tool", "7", 60):
        await asyncio.Event().wait()


async def test_a_call_is_cancelled_when_nobody_listens() -> None:
    calls = SessionCalls(grace_seconds=0)
    link = CallerLink(calls)
    current_link.set(link)
    with link.listening():
        running = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        assert calls.get("7") is link
        assert calls.running == 1
    with pytest.raises(CallStoppedError, match="tool was stopped because its client had gone"):
        await running
    assert calls.get("7") is None
    assert calls.running == 0


async def test_a_call_that_begins_after_its_client_left_is_cancelled() -> None:
    current_link.set(CallerLink(SessionCalls(grace_seconds=0)))
    with pytest.raises(CallStoppedError):
        await wait_for_ever()


async def test_a_resumed_call_goes_on() -> None:
    link = CallerLink(SessionCalls(grace_seconds=0))
    go = asyncio.Event()

    async def call() -> str:
        with stop_call("tool", "7", 60):
            await go.wait()
        return "done"

    current_link.set(link)
    with link.listening():
        running = asyncio.create_task(call())
        await asyncio.sleep(0)
        with link.listening():
            pass
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        assert await running == "done"


async def test_a_call_in_the_grace_period_can_be_resumed() -> None:
    link = CallerLink(SessionCalls(grace_seconds=3600))
    current_link.set(link)
    running = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    assert will_be_cancelled(link)
    with link.listening():
        assert not will_be_cancelled(link)
    assert will_be_cancelled(link)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not will_be_cancelled(link)


def will_be_cancelled(link: CallerLink) -> bool:
    return link._timer is not None


async def test_two_calls_with_the_same_id_are_both_counted() -> None:
    calls = SessionCalls(grace_seconds=0)
    first, second = CallerLink(calls), CallerLink(calls)
    with calls.track("7", first):
        with calls.track("7", second):
            assert calls.running == 2
            assert calls.get("7") is second
        assert calls.running == 1
        assert calls.get("7") is None
    assert calls.running == 0
