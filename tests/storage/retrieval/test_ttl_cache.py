"""Values that are kept for a while, and learnt once for all who ask."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.retrieval.ttl_cache import Kept


class Teacher:
    """Gives 1, 2, 3, ... when it is let, each to be kept for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.was_asked = asyncio.Event()

    async def __call__(self) -> tuple[int, float]:
        self.asked += 1
        answer = self.asked
        self.was_asked.set()
        await self.may_answer.wait()
        return answer, self.seconds


async def test_all_who_ask_at_once_wait_for_one_answer() -> None:
    kept, teacher = Kept[str, int](8), Teacher(60)
    askers = [asyncio.create_task(kept.get("x", teacher)) for _ in range(64)]
    await teacher.was_asked.wait()
    teacher.may_answer.set()
    assert await asyncio.gather(*askers) == [1] * 64
    assert await kept.get("x", teacher) == 1
    assert teacher.asked == 1


async def test_while_an_old_value_is_learnt_again_the_others_get_the_old_one() -> None:
    kept, teacher = Kept[str, int](8), Teacher(0)
    teacher.may_answer.set()
    assert await kept.get("x", teacher) == 1
    teacher.may_answer.clear()
    teacher.was_asked.clear()
    first = asyncio.create_task(kept.get("x", teacher))
    await teacher.was_asked.wait()
    assert await kept.get("x", teacher) == 1
    teacher.may_answer.set()
    assert await first == 2


async def test_a_failure_reaches_the_caller_who_met_it_and_the_next_tries_again() -> None:
    kept = Kept[str, int](8)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> tuple[int, float]:
        started.set()
        await go_on.wait()
        raise ValueError("ours")

    async def learn() -> tuple[int, float]:
        return 7, 60

    failing = asyncio.create_task(kept.get("x", fail))
    await started.wait()
    waiting = asyncio.create_task(kept.get("x", learn))
    go_on.set()
    with pytest.raises(ValueError, match="ours"):
        await failing
    assert await waiting == 7


async def test_what_was_learnt_first_is_forgotten_first() -> None:
    kept, teacher = Kept[str, int](2), Teacher(60)
    teacher.may_answer.set()
    assert [await kept.get(key, teacher) for key in "abc"] == [1, 2, 3]
    assert len(kept) == 2
    assert [await kept.get(key, teacher) for key in "bca"] == [2, 3, 4]
