"""What a server keeps for good is left out of garbage collection.

Modules, models and the tools' schemas are half a million objects that never become garbage. Making
them set off walks over those that were there already: a tenth of the time until a client of a cold
server is answered. A search makes thousands of short-lived ones, and every so often that set off a
walk over them all: a quarter of the server's time on a search.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, nothing is collected; what is there at the end is not looked at again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@asynccontextmanager
async def tenured(opened: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Inside, what is there when ``opened`` returns is never looked at again."""

    async def freeze() -> None:
        await opened()
        gc.freeze()

    waiting = asyncio.create_task(freeze(), name="wait until all is open")
    try:
        yield
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        gc.unfreeze()
