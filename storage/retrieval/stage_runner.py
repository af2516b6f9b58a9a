"""Several things at once, and plain errors when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")


async def together(work: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """The results in order. The first failure cancels the rest and is raised as it is.

    No TaskGroup: where a part of it fails, Python 3.11 leaves the task that waits marked as being
    cancelled, and who goes on after the failure (a search without its reranker) is then cancelled
    at the next scope of anyio's.
    """
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
