"""Tests of the fair semaphore: the order in which principals are admitted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sightline.storage.errors import ModelOverloadedError
from sightline.storage.fair_semaphore import FairSemaphore


class Holders:
    """Tasks that hold the semaphore until they are let go, in the order of admission."""

    def __init__(self, semaphore: FairSemaphore) -> None:
        self.semaphore = semaphore
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def start(self, name: str, principal: str | None, amount: int = 1) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, principal, amount))
        await settle()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await settle()

    async def _hold(self, name: str, principal: str | None, amount: int) -> None:
        async with self.semaphore.hold(principal, amount):
            self.order.append(name)
            await self.ends[name].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def holders(capacity: int, max_waiting: int = 100) -> AsyncIterator[Holders]:
    opened = Holders(FairSemaphore(capacity, max_waiting=max_waiting, what="images"))
    yield opened
    for task in opened.tasks.values():
        task.cancel()
    await asyncio.gather(*opened.tasks.values(), return_exceptions=True)


async def test_one_principal_holds_at_most_half() -> None:
    async with holders(4) as calls:
        for number in range(10):
            await calls.start(f"alice {number}", "alice")
        assert calls.order == ["alice 0", "alice 1"]
        await calls.start("bob", "bob")
        assert calls.order[-1] == "bob"


async def test_without_tokens_everything_may_be_held() -> None:
    async with holders(3) as calls:
        for number in range(4):
            await calls.start(str(number), None)
        assert calls.order == ["0", "1", "2"]


async def test_waiting_principals_take_turns() -> None:
    async with holders(2) as calls:
        await calls.start("x", "x")
        await calls.start("y", "y")
        for number in range(3):
            await calls.start(f"alice {number}", "alice")
        await calls.start("bob", "bob")
        for name in ("x", "alice 0", "bob", "alice 1"):
            await calls.end(name)
        assert calls.order == ["x", "y", "alice 0", "bob", "alice 1", "alice 2"]


async def test_small_requests_do_not_starve_a_large_one() -> None:
    async with holders(4) as calls:
        for name in ("v", "w", "x"):
            await calls.start(name, name)
        await calls.start("large", "bob", 2)
        await calls.start("small", "carol")
        assert calls.order == ["v", "w", "x"]
        await calls.end("v")
        assert calls.order[3:] == ["large"]
        await calls.end("w")
        assert calls.order[3:] == ["large", "small"]


async def test_a_request_above_the_share_is_admitted_alone() -> None:
    async with holders(4) as calls:
        await calls.start("huge", "alice", 1000)
        await calls.start("more", "alice")
        assert calls.order == ["huge"]
        await calls.end("huge")
        assert calls.order == ["huge", "more"]


async def test_nothing_is_always_available() -> None:
    async with holders(2) as calls:
        for name in ("first", "second"):
            await calls.start(name, "alice", 0)
        await calls.end("first")
        await calls.end("second")
        assert calls.order == ["first", "second"]


async def test_a_cancelled_request_gives_its_place_to_others() -> None:
    async with holders(2) as calls:
        await calls.start("holds", "alice")
        await calls.start("waits", "alice")
        await calls.start("next", "alice")
        calls.tasks["waits"].cancel()
        await settle()
        await calls.end("holds")
        assert calls.order == ["holds", "next"]
        calls.tasks["next"].cancel()
        await settle()
        await calls.start("last", "alice")
        assert calls.order == ["holds", "next", "last"]


async def test_a_request_cancelled_while_it_is_admitted_holds_nothing() -> None:
    async with holders(2) as calls:
        await calls.start("holds", "alice")
        await calls.start("waits", "alice")
        calls.ends["holds"].set()
        await asyncio.sleep(0)  # "holds" has released, "waits" has not run yet
        calls.tasks["waits"].cancel()
        await settle()
        await calls.start("last", "alice")
        assert calls.order[-1] == "last"


async def test_too_many_waiting_calls_of_one_principal_are_refused() -> None:
    async with holders(2, max_waiting=2) as calls:
        for number in range(3):
            await calls.start(str(number), "alice")
        with pytest.raises(ModelOverloadedError, match="2 of your calls already wait for images"):
            async with calls.semaphore.hold("alice"):
                pass
        await calls.start("bob", "bob")
        assert calls.order == ["0", "bob"]


async def test_a_principal_that_waits_again_and_again_gets_every_other_turn() -> None:
    semaphore = FairSemaphore(1, max_waiting=9, what="slots")
    order: list[str] = []

    async def use(principal: str, times: int) -> None:
        for _ in range(times):
            async with semaphore.hold(principal):
                order.append(principal)
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(use("flood", 3))
        tasks.create_task(use("bob", 3))
    assert order[:6].count("bob") >= 2
    assert order[:7].count("bob") == 3


async def test_a_request_that_is_cancelled_before_a_release_takes_nothing() -> None:
    semaphore = FairSemaphore(1, max_waiting=9, what="slots")

    async def use() -> None:
        async with semaphore.hold("alice"):
            pass

    async with semaphore.hold("bob"):
        waiting = asyncio.create_task(use())
        await asyncio.sleep(0)
        waiting.cancel()  # it learns of this only after the release below
    await use()
    with pytest.raises(asyncio.CancelledError):
        await waiting
