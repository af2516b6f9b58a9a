"""The id of the current request, which connects all logs and the trace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """A random id, and a digest of the session's id, which itself is a secret."""

    id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))
    session: str | None = None


_request: ContextVar[RequestIdentity | None] = ContextVar("request", default=None)


def current_request() -> RequestIdentity | None:
    """Return the request of the current context, or None."""
    return _request.get()


@contextmanager
def as_request(request: RequestIdentity) -> Iterator[None]:
    """Work for a request inside the block."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def ensure_request() -> Iterator[RequestIdentity]:
    """Work for the current request inside the block, or for a new one."""
    current = _request.get()
    if current is not None:
        yield current
        return
    request = RequestIdentity()
    with as_request(request):
        yield request
