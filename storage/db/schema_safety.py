"""Refuses a database in which others can replace names that Sightline uses.

Postgres prefers an operator or function whose argument types fit exactly, wherever it stands in
the search path. Whoever can create objects in a schema of the path can therefore run code with the
rights of the server. Such a schema is refused whoever uses it: the pool, a migration, a SECURITY
DEFINER function or an analyst.

Trusted are superusers, the owners of the database and of the tables, and members of these roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, kwargs_row

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import SchemaError

EXTENSION_SCHEMA = "sightline_vector"
"""Schema in which `sightline migrate` installs pgvector."""

_SQL = load_sql("pool")


@dataclass(frozen=True, slots=True)
class _Unsafe:
    """Why a schema is unsafe; ``role`` is null for PUBLIC."""

    problem: Literal["create", "owner", "object", "path"]
    schema: str
    role: str | None
    object: str | None
    owner: str
    has_extension: bool


async def require_safe_schemas(connection: Connection) -> None:
    """Raise SchemaError that names schema, role and remedy if a schema is unsafe."""
    params = {"with_functions": True, "extension_schema": EXTENSION_SCHEMA}
    _refuse(await fetch_all(connection, _SQL["unsafe_schemas"], params, row=_Unsafe))


def require_safe_schemas_sync(
    connection: psycopg.Connection[TupleRow], *, with_functions: bool = True
) -> None:
    """Do the same as ``require_safe_schemas`` without an event loop.

    ``with_functions=False`` ignores the search paths of functions, which a migration replaces.
    """
    params = {"with_functions": with_functions, "extension_schema": EXTENSION_SCHEMA}
    cursor = connection.cursor(row_factory=kwargs_row(_Unsafe))
    _refuse(cursor.execute(_SQL["unsafe_schemas"], params).fetchall())


def extension_schema_sync(connection: psycopg.Connection[TupleRow]) -> str | None:
    """Return the schema of pgvector, or None if it is not installed."""
    row = connection.execute(_SQL["extension"]).fetchone()
    return None if row is None else str(row[0])


def search_path(*schemas: str) -> str:
    """Return the value of a search path that finds temporary objects last."""
    names = dict.fromkeys(["pg_catalog", *schemas, "pg_temp"])
    return ", ".join(sql.Identifier(name).as_string() for name in names)


def _refuse(found: list[_Unsafe]) -> None:
    if not found:
        return
    lines = "; ".join(dict.fromkeys(map(_explain, found)))
    raise SchemaError(
        "Others can replace functions and operators that Sightline uses, and so act with its "
        f"rights. An administrator of the database must change this: {lines}"
    )


def _explain(unsafe: _Unsafe) -> str:
    schema = _quoted(unsafe.schema)
    role = "PUBLIC" if unsafe.role is None else _quoted(unsafe.role)
    move = (
        f" (or move pgvector: CREATE SCHEMA {EXTENSION_SCHEMA}; ALTER EXTENSION vector SET SCHEMA "
        f"{EXTENSION_SCHEMA}; then run: sightline migrate)"
        if unsafe.has_extension and unsafe.schema != EXTENSION_SCHEMA
        else ""
    )
    match unsafe.problem:
        case "create":
            return (
                f"{role} may create objects in the schema {schema}; run: "
                f"REVOKE CREATE ON SCHEMA {schema} FROM {role}{move}"
            )
        case "owner":
            return (
                f"{role} owns the schema {schema}; run: "
                f"ALTER SCHEMA {schema} OWNER TO {_quoted(unsafe.owner)}{move}"
            )
        case "object":
            return f"{role} owns an object in the schema {schema}; run: DROP {unsafe.object}{move}"
        case "path":
            return f"{unsafe.object} looks up names in the schema {schema}; run: sightline migrate"


def _quoted(name: str) -> str:
    quoted = sql.Identifier(name).as_string()
    return name if name.isidentifier() and name.islower() else quoted
