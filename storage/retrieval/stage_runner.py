"""Run coroutines in parallel and measure the stages of a search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sightline.storage.tracing import span

T = TypeVar("T")


async def gather_or_cancel(coroutines: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """Return all results in order; the first failure cancels the rest.

    Not a TaskGroup: after a failure, Python 3.11 leaves the waiting task marked as cancelled, and
    anyio then cancels a search that continues (for example without its reranker).
    """
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class StageTimer:
    """Measures the milliseconds of each stage, and the total since it was created."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the duration of the block to the stage, which is also a span of a trace."""
        started = time.perf_counter()
        try:
            with span(name):
                yield
        finally:
            elapsed = (time.perf_counter() - started) * 1000
            self.stages[name] = self.stages.get(name, 0.0) + elapsed

    def total(self) -> float:
        return (time.perf_counter() - self._started) * 1000
