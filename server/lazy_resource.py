"""Things that take seconds to open, opened while the server already answers.

A call that needs one waits a bounded time, tells its client so, and then says to try again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

from sightline.storage.errors import SightlineError

logger = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["loading", "ready", "failed"]

#: How the call in progress tells its client what it waits for; set for each tool call.
on_wait: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("on_wait", default=None)

_SIGN_OF_LIFE_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 5.0


class Background(Generic[T]):
    """A `Provider` whose thing is opened by a task of its own, from ``start`` to ``close``.

    ``open_`` runs until it succeeds: errors of the types in ``retried`` are tried again after a
    pause that grows to five seconds, any other is final. ``unavailable`` makes the error that
    callers get, ``on_final`` is told of a final one. ``delay_seconds`` is how long it leaves the
    processor to others first, unless a call wants it sooner.
    """

    def __init__(
        self,
        what: str,
        open_: Callable[[], Awaitable[T]],
        *,
        wait_seconds: float,
        unavailable: Callable[[str], SightlineError],
        retried: tuple[type[Exception], ...] = (),
        on_final: Callable[[Exception], None] | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        self._what = what
        self._open = open_
        self._wait_seconds = wait_seconds
        self._unavailable = unavailable
        self._retried = retried
        self._on_final = on_final
        self._delay_seconds = delay_seconds
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        #: Set once it is there, however long that takes.
        self.opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._value: T | None = None
        self._error: Exception | None = None

    @property
    def state(self) -> State:
        """``failed`` also while it is being tried again."""
        if self._value is not None:
            return "ready"
        return "loading" if self._error is None else "failed"

    @property
    def value(self) -> T | None:
        """The thing itself, once it is there."""
        return self._value

    @property
    def error(self) -> Exception | None:
        """Why the last try failed."""
        return self._error

    def start(self) -> Self:
        """Begin to open; needs a running event loop."""
        self._began = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"open {self._what}")
        return self

    async def close(self) -> None:
        """Stop trying. What was opened is its owner's to close."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def get(self) -> T:
        """The thing itself, waiting a bounded time while it is first opened.

        Raises the error that ``unavailable`` makes: with the reason when the last try failed, and
        with "try again" when the time is over.
        """
        self._wanted.set()
        until = time.monotonic() + self._wait_seconds
        while self.state == "loading":
            remaining = until - time.monotonic()
            if remaining <= 0:
                msg = f"{self._what} is still loading ({self._elapsed()} so far); try again soon"
                raise self._unavailable(msg)
            tell = on_wait.get()
            if tell is not None:
                await tell(f"{self._what} is loading, {self._elapsed()} so far")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, _SIGN_OF_LIFE_SECONDS)):
                    await self._settled.wait()
        if self._value is None:
            raise self._unavailable(str(self._error)) from self._error
        return self._value

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"

    async def _run(self) -> None:
        if self._delay_seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._delay_seconds):
                    await self._wanted.wait()
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                self._value = await self._open()
            except self._retried as error:
                if self._error is None:
                    logger.warning("%s: %s; trying on", self._what, error)
                self._error = error
                self._settled.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - reported to every caller, and logged
                self._give_up(error)
                return
            else:
                logger.info("%s is ready after %s", self._what, self._elapsed())
                self._error = None
                self._settled.set()
                self.opened.set()
                return

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, SightlineError):
            logger.error("%s: %s", self._what, error)
            self._error = error
        else:
            logger.error("%s could not be opened", self._what, exc_info=error)
            self._error = SightlineError(
                f"{self._what} could not be opened ({type(error).__name__}); the server's log has "
                "the details"
            )
        self._settled.set()
        if self._on_final is not None:
            self._on_final(self._error)


async def in_daemon_thread(work: Callable[[], T], *, discard: Callable[[T], None]) -> T:
    """Run ``work`` in a thread that does not keep the process from ending.

    Importing torch cannot be interrupted, and a client that leaves while it runs should not have
    to wait for it. A result that nobody awaits any more is given to ``discard``.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def deliver(value: T) -> None:
        if result.done():
            discard(value)
        else:
            result.set_result(value)

    def fail(error: BaseException) -> None:
        if not result.done():
            result.set_exception(error)

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - handed to the task that awaits it
            with suppress(RuntimeError):  # the loop has closed; so has everyone who cared
                loop.call_soon_threadsafe(fail, error)
            return
        try:
            loop.call_soon_threadsafe(deliver, value)
        except RuntimeError:
            discard(value)

    threading.Thread(target=run, name="loader", daemon=True).start()
    return await result
