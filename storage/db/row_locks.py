"""Locks of operations that exclude each other: rows of ``sightline.lock``.

An advisory lock would be open to everybody who can log in, analysts included. On this table only
the server has rights. A lock is held until the end of the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.errors import LockTimeoutError

_SQL = load_sql("row_locks")


@dataclass(frozen=True, slots=True)
class RowLock:
    """A lock: its row, what it protects, and how long an operation waits for it."""

    name: str
    protects: str
    timeout_seconds: float


async def lock(connection: Connection, wanted: RowLock, *, shared: bool = False) -> None:
    """Take a lock. Raises LockTimeoutError, after which the transaction must end.

    ``shared`` excludes only those that do not share. While it waits, no statement timeout counts;
    afterwards the previous one counts again.
    """
    params, take = _statements(wanted, shared)
    await connection.execute(_SQL["begin_wait"], params)
    try:
        await connection.execute(_SQL["ensure"], params)
        await connection.execute(take, params)
    except errors.LockNotAvailable as error:
        raise _timeout(wanted) from error
    await connection.execute(_SQL["end_wait"])


def lock_sync(
    connection: psycopg.Connection[TupleRow], wanted: RowLock, *, shared: bool = False
) -> None:
    """Do the same as ``lock`` without an event loop."""
    params, take = _statements(wanted, shared)
    connection.execute(_SQL["begin_wait"], params)
    try:
        connection.execute(_SQL["ensure"], params)
        connection.execute(take, params)
    except errors.LockNotAvailable as error:
        raise _timeout(wanted) from error
    connection.execute(_SQL["end_wait"])


def _statements(wanted: RowLock, shared: bool) -> tuple[dict[str, str], LiteralString]:
    params = {"name": wanted.name, "timeout": f"{round(wanted.timeout_seconds * 1000)}ms"}
    return params, _SQL["take_shared" if shared else "take"]


def _timeout(wanted: RowLock) -> LockTimeoutError:
    return LockTimeoutError(
        f"Another operation kept {wanted.protects} locked for {wanted.timeout_seconds:g} s. "
        "Nothing was changed. Try again."
    )
