"""Each caller has its own values, and a value is loaded once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from sightline.storage.isolation.caller import as_caller, as_principal
from sightline.storage.isolation.caller_cache import CallerCache, TtlCache

#: The operator, two callers, and one of them as a bound principal.
SCOPES = (
    partial(as_caller, None),
    partial(as_caller, "alice"),
    partial(as_caller, "bob"),
    partial(as_principal, "alice"),
)


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


async def test_calls_of_one_caller_never_wait_for_the_load_of_another() -> None:
    cache, stuck, quick = TtlCache[str, int](8), CountingLoader(60), CountingLoader(60)
    quick.may_answer.set()
    with as_caller("alice"):
        waiting = asyncio.create_task(cache.get("x", stuck))
    await stuck.was_called.wait()
    with as_caller("bob"):
        assert await cache.get("x", quick) == 1
    assert quick.calls == 1
    stuck.may_answer.set()
    assert await waiting == 1


def test_each_caller_finds_only_its_own_values() -> None:
    cache = CallerCache[str, int](8)
    for number, scope in enumerate(SCOPES):
        with scope():
            assert cache.get("x") is None
            cache.set("x", number)
    for number, scope in enumerate(SCOPES):
        with scope():
            assert cache.get("x") == number


def test_a_caller_evicts_its_own_oldest_value_only() -> None:
    cache = CallerCache[int, int](4)
    with as_caller("bob"):
        cache.set(0, 0)
    with as_caller("alice"):
        for number in range(100):
            cache.set(number, number)
            cache.get(96)
        assert [number for number in range(100) if cache.get(number) is not None] == [
            96,
            97,
            98,
            99,
        ]
    with as_caller("bob"):
        assert cache.get(0) == 0
    assert len(cache) == 5


def test_a_full_cache_evicts_values_of_the_caller_with_the_most() -> None:
    cache = CallerCache[int, int](4, max_total=6)
    kept = {}
    for name, count in (("bob", 1), ("alice", 4), ("mallory", 4)):
        with as_caller(name):
            for number in range(count):
                cache.set(number, number)
    for name in ("bob", "alice", "mallory"):
        with as_caller(name):
            kept[name] = [number for number in range(4) if cache.get(number) is not None]
    assert len(cache) == 6
    assert kept["bob"] == [0]
    assert {len(kept["alice"]), len(kept["mallory"])} == {2, 3}


def test_a_value_expires_after_its_own_ttl() -> None:
    now = 0.0
    cache = CallerCache[str, int](8, ttl_seconds=10, clock=lambda: now)
    cache.set("short", 1)
    cache.set("long", 2, ttl_seconds=30)
    now = 10.0
    assert (cache.get("short"), cache.get("long")) == (None, 2)


def test_a_cache_of_zero_entries_keeps_nothing() -> None:
    cache = CallerCache[str, int](0)
    cache.set("x", 1)
    assert (cache.get("x"), len(cache)) == (None, 0)
