"""What a server keeps for good is left out of garbage collection, and only while it runs."""

from __future__ import annotations

import asyncio
import gc

from sightline.server.tenure import tenured


async def test_what_is_there_once_all_is_open_is_left_out_until_the_end() -> None:
    there = gc.get_freeze_count()
    opened = asyncio.Event()

    async def open_() -> None:
        await opened.wait()

    async with tenured(open_):
        assert gc.get_freeze_count() == there
        opened.set()
        for _ in range(5):  # rounds of the loop: the event, the one who waits for it, and some
            await asyncio.sleep(0)
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


async def test_a_server_that_ends_before_all_is_open_waits_for_nothing() -> None:
    async with asyncio.timeout(60):
        async with tenured(asyncio.Event().wait):
            pass
