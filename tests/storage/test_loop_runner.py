"""Coroutines run on the loop that owns a resource."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from sightline.storage.errors import SightlineError
from sightline.storage.loop_runner import LoopRunner

SPAN: ContextVar[str] = ContextVar("span")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def current() -> tuple[asyncio.AbstractEventLoop, str | None]:
    return asyncio.get_running_loop(), SPAN.get(None)


async def fail() -> None:
    raise SightlineError("no")


def test_a_thread_waits_for_a_coroutine_of_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    token = SPAN.set("outer")
    try:
        assert LoopRunner(loop).run(current()) == (loop, "outer")
    finally:
        SPAN.reset(token)
    with pytest.raises(SightlineError, match="no"):
        LoopRunner(loop).run(fail())


async def test_another_loop_waits_without_blocking(loop: asyncio.AbstractEventLoop) -> None:
    assert LoopRunner(loop).run(current()) == (loop, None)  # although a loop runs in this thread
    assert await LoopRunner(loop).arun(current()) == (loop, None)
    with pytest.raises(SightlineError, match="no"):
        await LoopRunner(loop).arun(fail())


async def test_cancelling_the_caller_cancels_the_coroutine(
    loop: asyncio.AbstractEventLoop,
) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = asyncio.create_task(LoopRunner(loop).arun(wait()))
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(cancelled.wait, 60)


async def test_a_call_that_ends_with_its_loop_raises_an_error(
    loop: asyncio.AbstractEventLoop,
) -> None:
    started = threading.Event()
    running: list[asyncio.Task[object]] = []

    async def wait() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        started.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(LoopRunner(loop).arun(wait()))
    await asyncio.to_thread(started.wait, 60)
    loop.call_soon_threadsafe(running[0].cancel)
    with pytest.raises(SightlineError, match="was closed meanwhile"):
        await waiting


async def test_the_loop_does_not_wait_for_itself() -> None:
    runner = LoopRunner(asyncio.get_running_loop())
    assert await runner.arun(current()) == (asyncio.get_running_loop(), None)
    with pytest.raises(RuntimeError, match="Call the async method"):
        runner.run(current())


def test_a_loop_that_does_not_run_is_an_error() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="does not run"):
        LoopRunner(loop).run(current())
    loop.close()
