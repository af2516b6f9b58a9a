from __future__ import annotations

import asyncio

import pytest

from sightline.storage.retrieval.stage_runner import together


async def test_the_first_failure_ends_the_rest_and_leaves_who_waited_uncancelled() -> None:
    ended = asyncio.Event()

    async def fails() -> None:
        raise ValueError("the first")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ValueError, match="the first"):
        await together([waits(), fails(), waits()])
    assert ended.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_results_keep_their_order_and_a_cancelled_wait_ends_all() -> None:
    async def number(n: int) -> int:
        for _ in range(3 - n):
            await asyncio.sleep(0)
        return n

    assert await together([number(n) for n in range(3)]) == [0, 1, 2]
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(together([waits()]))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
