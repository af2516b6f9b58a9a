"""Run coroutines on the event loop that owns a resource, from any thread or loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

from sightline.storage.errors import SightlineError

T = TypeVar("T")


class LoopRunner:
    """Runs coroutines on one loop, such as the loop that opened a database.

    Context variables of the caller, such as spans, are visible to the coroutine.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine and block the calling thread until it ends.

        A loop may run in the calling thread, but not the loop of the runner.
        """
        if running_loop() is self._loop:
            coroutine.close()
            raise RuntimeError(
                "This thread runs the event loop that owns the resource and would wait for itself. "
                "Call the async method."
            )
        future = self._submit(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise _closed() from error
        finally:
            future.cancel()  # after KeyboardInterrupt; otherwise it has ended

    async def arun(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine and wait for it in the loop of the caller."""
        if running_loop() is self._loop:
            return await coroutine
        future = self._submit(coroutine)
        waiting = asyncio.wrap_future(future)
        try:
            return await waiting
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _closed() from error

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if not self._loop.is_running():
            coroutine.close()
            raise RuntimeError(
                "The event loop that owns the resource does not run. Open the resource again."
            )
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _closed() -> SightlineError:
    return SightlineError("The call did not end: what it uses was closed meanwhile.")
