"""Binding principals and logins to collections; Postgres holds them to it (docs/tenancy.md).

A principal is the name of a token. A login is a database role: an analyst's, whom Postgres knows
by its own name. Who is not bound sees everything.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Literal

from psycopg import errors, sql

from sightline.storage import collections, queries
from sightline.storage.database import Connection
from sightline.storage.errors import SchemaError, UnknownNameError

Key = Literal["principal", "login"]

_SQL = queries.load("tenancy")


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


async def release(connection: Connection, name: str, *, key: Key = "principal") -> bool:
    """Bind to nothing any more; whether it was bound. It sees everything from then on."""
    cursor = await connection.execute(_compose("release", key), {"name": name})
    return cursor.rowcount == 1


async def bindings(connection: Connection, *, key: Key = "principal") -> dict[str, list[str]]:
    """Who is bound, and to which collections."""
    cursor = await connection.execute(_compose("bindings", key))
    return {name: list(names) for name, names in await cursor.fetchall()}


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


def _compose(block: str, key: Key) -> sql.Composed:
    return sql.SQL(_SQL[block]).format(key=sql.Identifier(key))
