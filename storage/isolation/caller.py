"""Who the current call works for.

The caller is the name of the token, bound to collections or not. The principal is set only for a
bound caller, and limits what its connections see. Without a token (stdio, loopback, commands) both
are None: the caller is the operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from sightline.storage.errors import SightlineError, describe

_caller: ContextVar[str | None] = ContextVar("caller", default=None)
_principal: ContextVar[str | None] = ContextVar("principal", default=None)


class CallerScope(NamedTuple):
    """The part of a cache key that separates callers.

    It also separates one caller before and after a binding.
    """

    caller: str | None
    principal: str | None


def current_caller() -> str | None:
    """Return the name of the caller, or None for the operator."""
    return _caller.get() or _principal.get()


def current_principal() -> str | None:
    """Return the principal of the current context, or None for the server itself."""
    return _principal.get()


def current_scope() -> CallerScope:
    """Return whose values the current context may use."""
    return CallerScope(_caller.get(), _principal.get())


@contextmanager
def as_caller(name: str | None) -> Iterator[None]:
    """Work for a caller inside the block; its caches and slots are its own."""
    token = _caller.set(name)
    try:
        yield
    finally:
        _caller.reset(token)


@contextmanager
def as_principal(principal: str | None) -> Iterator[None]:
    """Limit connections inside the block to what the principal may see.

    None removes the limit: for work that needs every row, after the permission was checked.
    """
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def message_for_caller(error: SightlineError) -> str:
    """Return the message of an error, with its details if the caller is the operator."""
    return describe(error) if current_caller() is None else str(error)
