"""Row-level security: binds connections to principals and their collections.

Every connection acquired inside ``as_principal`` is limited to that principal. Outside of it, the
server works without limits. A principal is the name of a token. An analyst is a database role,
which Postgres identifies by its own name; an unbound analyst sees every collection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from sightline.storage.db.queries import (
    Connection,
    fetch_pairs,
    fetch_value,
    fetch_values,
    load_sql,
)
from sightline.storage.errors import SchemaError, UnknownNameError
from sightline.storage.unicode_forms import normalize_name

BindingKind = Literal["principal", "db_role"]

#: Its binding applies to every principal without a binding of its own.
DEFAULT_PRINCIPAL = "*"

_SQL = load_sql("row_security")
_REMEDY = "A database administrator must run in this database: SELECT sightline.ensure_roles()"
_COLUMNS: dict[BindingKind, str] = {"principal": "name", "db_role": "db_role"}


async def set_principal(connection: Connection, principal: str) -> None:
    """Limit a connection to a principal until the end of the transaction.

    An unbound principal sees no rows. Raises SchemaError if the database role is missing.
    """
    try:
        await connection.execute(_SQL["set_principal"], {"principal": principal})
    except (errors.InvalidParameterValue, errors.InsufficientPrivilege) as error:
        raise SchemaError(
            "Bound principals need the role sightline_principal, which is missing or not granted "
            f"to the server. {_REMEDY}"
        ) from error


async def missing_roles(connection: Connection) -> str | None:
    """Return why bound principals and analysts are refused, or None.

    The text has the remedy.
    """
    return _explain(await fetch_values(connection, _SQL["role_problems"]))


def missing_roles_sync(connection: psycopg.Connection[TupleRow]) -> str | None:
    """Do the same as ``missing_roles`` without an event loop."""
    return _explain([str(problem) for (problem,) in connection.execute(_SQL["role_problems"])])


def _explain(problems: list[str]) -> str | None:
    if not problems:
        return None
    return f"Bound principals and analysts are refused: {'; '.join(problems)}. {_REMEDY}"


async def bind(
    connection: Connection,
    name: str,
    collections: Iterable[str],
    *,
    kind: BindingKind = "principal",
) -> None:
    """Bind a principal or database role to exactly these collections.

    With no collections it sees nothing. Raises UnknownNameError for an unknown collection, and
    SchemaError for a principal if the database roles are missing.
    """
    if kind == "principal" and (problem := await missing_roles(connection)) is not None:
        raise SchemaError(problem)
    wanted = {normalize_name(each) for each in collections}
    params = {"name": name, "collections": sorted(wanted)}
    if unknown := await fetch_values(connection, _SQL["unknown_collections"], params):
        known = await fetch_values(connection, _SQL["collection_names"])
        raise UnknownNameError("collection", unknown[0], known)
    await connection.execute(_compose("bind", kind), params)


async def bind_to_all_collections(connection: Connection, principal: str) -> None:
    """Let a principal see every collection, including future ones."""
    await connection.execute(_SQL["bind_to_all_collections"], {"principal": principal})


async def sees_all_collections(connection: Connection, principal: str) -> bool:
    """Return whether a principal sees every collection.

    An unbound principal follows the binding of ``DEFAULT_PRINCIPAL``. If that is not bound either,
    it sees everything until the first binding of any principal.
    """
    params = {"principal": principal, "default_principal": DEFAULT_PRINCIPAL}
    return bool(await fetch_value(connection, _SQL["sees_all_collections"], params))


async def remove_binding(
    connection: Connection, name: str, *, kind: BindingKind = "principal"
) -> bool:
    """Remove a binding; return whether there was one."""
    cursor = await connection.execute(_compose("remove_binding", kind), {"name": name})
    return cursor.rowcount == 1


async def bindings(
    connection: Connection, *, kind: BindingKind = "principal"
) -> dict[str, list[str] | None]:
    """Return the bound collections by name; None means all collections."""
    return await fetch_pairs(connection, _compose("bindings", kind))


def _compose(block: str, kind: BindingKind) -> sql.Composed:
    return sql.SQL(_SQL[block]).format(key=sql.Identifier(_COLUMNS[kind]))
