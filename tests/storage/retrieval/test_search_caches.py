"""The TTL cache loads each value once for all callers."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.retrieval.search_caches import TtlCache


class CountingLoader:
    """Returns 1, 2, 3, ... once it may answer, each with a TTL of ``ttl_seconds``."""

    def __init__(self, ttl_seconds: float) -> None:
        self.ttl_seconds = ttl_seconds
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.was_called = asyncio.Event()

    async def __call__(self) -> tuple[int, float]:
        self.calls += 1
        answer = self.calls
        self.was_called.set()
        await self.may_answer.wait()
        return answer, self.ttl_seconds


async def test_concurrent_callers_of_a_missing_value_wait_for_one_load() -> None:
    cache, loader = TtlCache[str, int](8), CountingLoader(60)
    callers = [asyncio.create_task(cache.get("x", loader)) for _ in range(64)]
    await loader.was_called.wait()
    loader.may_answer.set()
    assert await asyncio.gather(*callers) == [1] * 64
    assert await cache.get("x", loader) == 1
    assert loader.calls == 1


async def test_while_a_value_is_reloaded_other_callers_get_the_stale_value() -> None:
    cache, loader = TtlCache[str, int](8), CountingLoader(0)
    loader.may_answer.set()
    assert await cache.get("x", loader) == 1
    loader.may_answer.clear()
    loader.was_called.clear()
    first = asyncio.create_task(cache.get("x", loader))
    await loader.was_called.wait()
    assert await cache.get("x", loader) == 1
    loader.may_answer.set()
    assert await first == 2


async def test_a_failed_load_is_raised_to_its_caller_and_the_next_caller_loads_again() -> None:
    cache = TtlCache[str, int](8)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> tuple[int, float]:
        started.set()
        await go_on.wait()
        raise ValueError("load failed")

    async def load() -> tuple[int, float]:
        return 7, 60

    failing = asyncio.create_task(cache.get("x", fail))
    await started.wait()
    waiting = asyncio.create_task(cache.get("x", load))
    go_on.set()
    with pytest.raises(ValueError, match="load failed"):
        await failing
    assert await waiting == 7


async def test_the_oldest_value_is_evicted_first() -> None:
    cache, loader = TtlCache[str, int](2), CountingLoader(60)
    loader.may_answer.set()
    assert [await cache.get(key, loader) for key in "abc"] == [1, 2, 3]
    assert len(cache) == 2
    assert [await cache.get(key, loader) for key in "bca"] == [2, 3, 4]
