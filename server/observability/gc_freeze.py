"""Excludes long-lived objects from garbage collection (`gc.freeze`).

Modules, models and tool schemas are half a million objects that never become garbage. Collections
over them took a tenth of the time to the first answer, and a quarter of the time of a search.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection, then freeze all objects that exist at the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@asynccontextmanager
async def freeze_when_ready(wait_ready: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Freeze all objects that exist when ``wait_ready`` returns; unfreeze at the end."""

    async def freeze() -> None:
        await wait_ready()
        gc.freeze()

    task = asyncio.create_task(freeze(), name="freeze objects when ready")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        gc.unfreeze()
