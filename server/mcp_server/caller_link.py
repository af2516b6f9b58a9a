"""Stops a call that takes too long, or whose client has gone.

In protocol revisions with sessions, a call goes on when its connection breaks, because the client
can resume the response. If nobody has resumed it after a grace period, the call is cancelled. In
later revisions the SDK cancels a call as soon as its connection breaks. The end of a session
cancels its calls at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import anyio


class SessionCalls:
    """The running calls of a session, by request id."""

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.running = 0
        self._links: dict[str, CallerLink] = {}

    def get(self, request_id: str) -> CallerLink | None:
        return self._links.get(request_id)

    @contextmanager
    def track(self, request_id: str, link: CallerLink) -> Iterator[None]:
        self.running += 1
        self._links[request_id] = link
        try:
            yield
        finally:
            self.running -= 1
            # A client may use an id twice.
            if self._links.get(request_id) is link:
                del self._links[request_id]


class CallerLink:
    """Knows whether a client waits for the response of one POST request."""

    def __init__(self, calls: SessionCalls) -> None:
        self._calls = calls
        self._listeners = 0
        self._scope: anyio.CancelScope | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Declare for the time of the block that a client reads the response."""
        self._listeners += 1
        self._update()
        try:
            yield
        finally:
            self._listeners -= 1
            self._update()

    @contextmanager
    def cancels(self, request_id: str, scope: anyio.CancelScope) -> Iterator[None]:
        """Cancel the scope while the block runs and nobody listens."""
        with self._calls.track(request_id, self):
            self._scope = scope
            self._update()
            try:
                yield
            finally:
                self._scope = None
                self._update()

    def _update(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._scope is not None and not self._listeners:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._calls.grace_seconds, self._scope.cancel)


#: Set by the HTTP server for each POST request of a session.
current_link: ContextVar[CallerLink | None] = ContextVar("caller_link", default=None)


class CallStoppedError(Exception):
    """The call exceeded its time limit or lost its client. The text is for the caller."""


@contextmanager
def stop_call(name: str, request_id: str | None, max_seconds: float) -> Iterator[None]:
    """Cancel the block after the time limit or without a client.

    Then it raises CallStoppedError.
    """
    link = current_link.get()
    expires_at = anyio.current_time() + max_seconds
    with anyio.CancelScope(deadline=expires_at) as scope:
        with (
            nullcontext() if link is None or request_id is None else link.cancels(request_id, scope)
        ):
            yield
    if scope.cancelled_caught:
        reason = (
            f"after {max_seconds:g} s, the time limit of a call"
            if anyio.current_time() >= expires_at
            else "because its client had gone"
        )
        raise CallStoppedError(
            f"{name} was stopped {reason}. What it had finished is stored; call it again to go on."
        )
