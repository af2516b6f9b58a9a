"""Binding principals and logins to collections; Postgres holds them to it (docs/tenancy.md).

A principal is the name of a token. A login is a database role: an analyst's, whom Postgres knows
by its own name, and which sees everything while it is not bound. Of principals `sees_everything`
says what one sees that is not bound.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Literal

from psycopg import sql

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import UnknownNameError
from sightline.storage.records import collections

Key = Literal["principal", "login"]

#: Stands for every principal that is not bound by its name.
OTHERS = "*"

_SQL = sql_loader.load("tenancy")


async def bind(
    connection: Connection, name: str, to: Iterable[str], *, key: Key = "principal"
) -> None:
    """Bind a principal or a login to these collections and no others.

    Bound to none, it sees nothing. Raises UnknownNameError for a collection that is not there.
    """
    wanted = {unicodedata.normalize("NFC", each) for each in to}
    given = {"name": name, "collections": sorted(wanted)}
    cursor = await connection.execute(_SQL["missing_collections"], given)
    if missing := await cursor.fetchall():
        raise UnknownNameError("collection", missing[0][0], await collections.names(connection))
    await connection.execute(_compose("bind", key), given)


async def bind_to_everything(connection: Connection, principal: str) -> None:
    """Let a principal see every collection, those that are yet to be made as well."""
    await connection.execute(_SQL["bind_to_everything"], {"principal": principal})


async def sees_everything(connection: Connection, principal: str) -> bool:
    """Whether a principal sees every collection; one that does not sees what it is bound to.

    One that is not bound is as `OTHERS` are, and where those are not bound either it sees
    everything while nobody is bound at all, and nothing from the first binding on.
    """
    cursor = await connection.execute(_SQL["standing"], {"principal": principal, "others": OTHERS})
    (own, others, anybody) = await cursor.fetchone() or (None, None, True)
    if own is not None:
        return bool(own)
    return not anybody if others is None else bool(others)


async def release(connection: Connection, name: str, *, key: Key = "principal") -> bool:
    """Forget a binding; whether there was one."""
    cursor = await connection.execute(_compose("release", key), {"name": name})
    return cursor.rowcount == 1


async def bindings(
    connection: Connection, *, key: Key = "principal"
) -> dict[str, list[str] | None]:
    """Who is bound, and to which collections; ``None`` is to all."""
    cursor = await connection.execute(_compose("bindings", key))
    return {
        name: None if everything else list(names)
        for name, everything, names in await cursor.fetchall()
    }


def _compose(block: str, key: Key) -> sql.Composed:
    return sql.SQL(_SQL[block]).format(key=sql.Identifier(key))
