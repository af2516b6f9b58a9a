"""Resources that open in the background while the server already answers.

A call that needs a resource waits for a limited time and reports progress to its client.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Generic, Literal, Protocol, Self, TypeVar

from sightline.storage.errors import SightlineError

logger = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["loading", "ready", "failed"]

#: Reports to the client of the current call what the call waits for. Set for each tool call.
on_wait: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("on_wait", default=None)

#: Hold it to import a slow library in a thread. If two threads import packages that import each
#: other, Python avoids a deadlock with a half-initialized module, and one import fails.
import_lock = threading.RLock()

_PROGRESS_INTERVAL_SECONDS = 2.0
_MIN_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 5.0


class Closeable(Protocol):
    """A resource with a close method."""

    def close(self) -> None:
        """Release the resource."""
        ...


C = TypeVar("C", bound=Closeable)


class LazyResource(Generic[T]):
    """Opens an async context manager in a task, and closes it at the end."""

    def __init__(
        self,
        name: str,
        open_resource: Callable[[], AbstractAsyncContextManager[T]],
        *,
        timeout_seconds: float,
        error_type: Callable[[str], SightlineError],
        retry_on: tuple[type[Exception], ...] = (),
        on_failure: Callable[[Exception], None] | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        """``get`` waits up to ``timeout_seconds`` and raises ``error_type``.

        Errors of the types in ``retry_on`` are retried for ever. Any other error is final and is
        passed to ``on_failure``. Opening starts after ``delay_seconds`` or at the first ``get``.
        """
        self._name = name
        self._open_resource = open_resource
        self._timeout_seconds = timeout_seconds
        self._error_type = error_type
        self._retry_on = retry_on
        self._on_failure = on_failure
        self._delay_seconds = delay_seconds
        self._requested = asyncio.Event()
        self._attempted = asyncio.Event()
        self._closing = asyncio.Event()
        #: Set when the resource is open.
        self.opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._value: T | None = None
        self._error: Exception | None = None

    @property
    def state(self) -> State:
        """Return the state; ``failed`` also between two attempts."""
        if self._value is not None:
            return "ready"
        return "loading" if self._error is None else "failed"

    @property
    def value(self) -> T | None:
        """Return the resource, or None if it is not open."""
        return self._value

    async def __aenter__(self) -> Self:
        self._started_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"open {self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        self._closing.set()
        if self._value is None:
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def get(self) -> T:
        """Return the resource; wait while the first attempt to open it runs.

        Raises ``error_type``: with the reason if the last attempt failed, or after the timeout.
        """
        self._requested.set()
        deadline = time.monotonic() + self._timeout_seconds
        while self.state == "loading":
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._error_type(
                    f"{self._name} is still loading ({self._elapsed()} so far); try again soon"
                )
            report = on_wait.get()
            if report is not None:
                await report(f"{self._name} is loading, {self._elapsed()} so far")
            await _wait(self._attempted, min(remaining, _PROGRESS_INTERVAL_SECONDS))
        if self._value is None:
            raise self._error_type(str(self._error)) from self._error
        return self._value

    async def _run(self) -> None:
        if self._delay_seconds:
            await _wait(self._requested, self._delay_seconds)
        pause_seconds = _MIN_RETRY_SECONDS
        async with AsyncExitStack() as stack:
            while self._value is None:
                try:
                    self._value = await stack.enter_async_context(self._open_resource())
                except self._retry_on as error:
                    if self._error is None:
                        logger.warning("%s: %s; retrying", self._name, error)
                    self._error = error
                    self._attempted.set()
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _MAX_RETRY_SECONDS)
                except Exception as error:  # noqa: BLE001 - logged, and reported to every caller
                    self._fail(error)
                    return
            logger.info("%s is ready after %s", self._name, self._elapsed())
            self._error = None
            self._attempted.set()
            self.opened.set()
            await self._closing.wait()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, SightlineError):
            logger.error("%s: %s", self._name, error)
            self._error = error
        else:
            logger.error("%s could not be opened", self._name, exc_info=error)
            self._error = SightlineError(
                f"{self._name} could not be opened ({type(error).__name__}); the log of the server "
                "has the details"
            )
        self._attempted.set()
        if self._on_failure is not None:
            self._on_failure(self._error)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started_at:.0f} s"


async def _wait(event: asyncio.Event, timeout_seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await event.wait()


@asynccontextmanager
async def open_in_thread(load: Callable[[], C]) -> AsyncIterator[C]:
    """Load a resource in a daemon thread, and close it after the block."""
    value = await run_in_daemon_thread(load, discard=lambda unused: unused.close())
    try:
        yield value
    finally:
        value.close()


async def run_in_daemon_thread(
    function: Callable[[], T], *, discard: Callable[[T], None] = lambda _: None
) -> T:
    """Run a function in a thread that does not delay the end of the process.

    An import of torch cannot be interrupted. If the caller is cancelled meanwhile, ``discard``
    gets the result.
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
            value = function()
        except BaseException as error:  # noqa: BLE001 - raised in the task that awaits it
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(fail, error)
            return
        try:
            loop.call_soon_threadsafe(deliver, value)
        except RuntimeError:
            discard(value)

    threading.Thread(target=run, name="loader", daemon=True).start()
    return await result
