"""Resources that open in the background while the server already answers.

A call that needs a resource waits for a limited time and reports progress to its client.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    suppress,
)
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Generic, Literal, Protocol, Self, TypeVar

from sightline.storage.errors import (
    SEE_LOG,
    ConfigurationError,
    ModelUnavailableError,
    SightlineError,
    describe,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["loading", "ready", "failed"]

#: Reports to the client of the current call what the call waits for. Set for each tool call.
on_wait: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("on_wait", default=None)
#: Whether the current call waits without limit: a person waits for it, who can stop it.
is_patient: ContextVar[bool] = ContextVar("is_patient", default=False)

_PROGRESS_INTERVAL_SECONDS = 2.0
_MIN_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 5.0


class Closeable(Protocol):
    """A resource with a close method."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closeable)


@dataclass(eq=False)
class LazyResource(Generic[T]):
    """Opens an async context manager in a task, and closes it at the end.

    ``get`` waits up to ``timeout_seconds``, unless ``is_patient``, and raises ``error_type``.
    Errors of the types in ``retry_on`` are retried for ever. Any other error is final and is
    passed to ``on_failure``. Opening starts after ``delay_seconds`` (None: never), at `request` or
    at the first ``get``.
    """

    name: str
    open_resource: Callable[[], AbstractAsyncContextManager[T]]
    _: KW_ONLY
    timeout_seconds: float
    error_type: type[SightlineError]
    retry_on: tuple[type[Exception], ...] = ()
    on_failure: Callable[[Exception], None] | None = None
    delay_seconds: float | None = 0.0
    #: The resource, or None if it is not open.
    value: T | None = field(default=None, init=False)
    #: Set when the resource is open, or when opening it has failed for good.
    settled: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _requested: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _attempted: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _closing: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _error: Exception | None = field(default=None, init=False)

    @property
    def state(self) -> State:
        """Return the state; ``failed`` also between two attempts."""
        if self.value is not None:
            return "ready"
        return "loading" if self._error is None else "failed"

    async def __aenter__(self) -> Self:
        self._started_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"open {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        self._closing.set()
        if self.value is None:
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def request(self) -> None:
        """Start opening, if that has not begun; do not wait for it."""
        self._requested.set()

    async def get(self) -> T:
        """Return the resource; wait while the first attempt to open it runs.

        Raises ``error_type``: with the reason if the last attempt failed, or after the timeout.
        """
        self.request()
        deadline = math.inf if is_patient.get() else time.monotonic() + self.timeout_seconds
        while self.state == "loading":
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self.error_type(
                    f"{self.name} is still loading ({self._elapsed()} so far); try again soon"
                )
            if (report := on_wait.get()) is not None:
                await report(f"{self.name} is loading, {self._elapsed()} so far")
            await _wait(self._attempted, min(remaining, _PROGRESS_INTERVAL_SECONDS))
        if self.value is None:
            details = getattr(self._error, "details", "")
            raise self.error_type(str(self._error), details=details) from self._error
        return self.value

    async def _run(self) -> None:
        if self.delay_seconds != 0:
            await _wait(self._requested, self.delay_seconds)
        pause_seconds = _MIN_RETRY_SECONDS
        async with AsyncExitStack() as stack:
            while self.value is None:
                try:
                    self.value = await stack.enter_async_context(self.open_resource())
                except self.retry_on as error:
                    if self._error is None:
                        logger.warning("%s: %s; retrying", self.name, describe(error))
                    self._error = error
                    self._attempted.set()
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _MAX_RETRY_SECONDS)
                except Exception as error:  # noqa: BLE001 - logged, and reported to every caller
                    self._fail(error)
                    return
            logger.info("%s is ready after %s", self.name, self._elapsed())
            self._error = None
            self._attempted.set()
            self.settled.set()
            await self._closing.wait()

    def _fail(self, error: Exception) -> None:
        self._error = error
        if isinstance(error, SightlineError):
            # A command shows the error itself, so it leaves this line out.
            logger.error("%s: %s", self.name, describe(error), extra={"is_raised": True})
        else:
            logger.error("%s could not be opened", self.name, exc_info=error)
        if isinstance(error, ConfigurationError) or not isinstance(error, SightlineError):
            # Messages about the configuration contain paths and addresses.
            kind = "" if isinstance(error, SightlineError) else f" ({type(error).__name__})"
            self._error = SightlineError(
                f"{self.name} could not be opened{kind}{SEE_LOG}",
                details=describe(error) if isinstance(error, SightlineError) else "",
            )
        self._attempted.set()
        self.settled.set()
        if self.on_failure is not None:
            self.on_failure(self._error)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started_at:.0f} s"


async def _wait(event: asyncio.Event, timeout_seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await event.wait()


@asynccontextmanager
async def open_in_thread(load: Callable[[], C]) -> AsyncIterator[C]:
    """Load a resource in a daemon thread, and close it after the block."""
    with closing(await run_in_daemon_thread(load, discard=lambda unused: unused.close())) as value:
        yield value


def model_on_demand(name: str, load: Callable[[], C], timeout_seconds: float) -> LazyResource[C]:
    """Return a model that is opened by the first call that needs it."""
    return LazyResource(
        name,
        partial(open_in_thread, load),
        timeout_seconds=timeout_seconds,
        error_type=ModelUnavailableError,
        delay_seconds=None,
    )


async def run_in_daemon_thread(
    function: Callable[[], T], *, discard: Callable[[T], None] = lambda _: None
) -> T:
    """Run a function in a thread that does not delay the end of the process.

    An import of torch cannot be interrupted. If the caller is cancelled meanwhile, ``discard``
    gets the result, usually in the thread.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on, it cannot be cancelled

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised in the task that awaits it
            future.set_exception(error)

    def discard_result(finished: Future[T]) -> None:
        if finished.exception() is None:
            discard(finished.result())

    threading.Thread(target=run, name="loader", daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        future.add_done_callback(discard_result)
        raise
