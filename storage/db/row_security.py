"""For whom the work in progress is done; Postgres holds it to what they may see (docs/tenancy.md).

Every connection that is taken inside `acting_for` works for that principal alone, so that nothing
that a call does, or starts, can forget it. Outside of it, the server works for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from psycopg import errors

from sightline.storage.db import sql_loader
from sightline.storage.errors import SchemaError

if TYPE_CHECKING:
    from sightline.storage.db.pool import Connection

_SQL = sql_loader.load("tenancy")
_principal: ContextVar[str | None] = ContextVar("principal", default=None)


def current() -> str | None:
    """The principal that is worked for; ``None`` for the server itself."""
    return _principal.get()


@contextmanager
def acting_for(principal: str | None) -> Iterator[None]:
    """Inside the block, connections see what the principal is bound to and nothing else.

    ``None`` is the server itself: for what has to see every row, after it was asked whether the
    principal may.
    """
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


async def act_for(connection: Connection, principal: str) -> None:
    """Work for a bound principal until the transaction ends: all else is invisible meanwhile.

    A principal that is not bound sees nothing at all. Raises SchemaError where the role for it is
    missing.
    """
    try:
        await connection.execute(_SQL["act_for"], {"principal": principal})
    except (errors.InvalidParameterValue, errors.InsufficientPrivilege) as error:
        raise SchemaError(
            "the server may not turn into the role sightline_tenant, which bound principals need; "
            "have an administrator of the database run: SELECT sightline.arrange_roles()"
        ) from error
