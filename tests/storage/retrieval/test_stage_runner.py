"""Run coroutines in parallel; the first failure cancels the others."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.retrieval.stage_runner import gather_or_cancel


async def test_the_first_failure_cancels_the_others_but_not_the_caller() -> None:
    stopped = asyncio.Event()

    async def fails() -> None:
        raise ValueError("first failure")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(ValueError, match="first failure"):
        await gather_or_cancel([waits(), fails(), waits()])
    assert stopped.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_results_keep_their_order_and_cancelling_the_caller_cancels_all() -> None:
    async def number(n: int) -> int:
        for _ in range(3 - n):
            await asyncio.sleep(0)
        return n

    assert await gather_or_cancel([number(n) for n in range(3)]) == [0, 1, 2]
    started, stopped = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    waiting = asyncio.create_task(gather_or_cancel([waits()]))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stopped.is_set()
