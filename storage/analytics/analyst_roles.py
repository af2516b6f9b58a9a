"""Who reads the schema ``analytics``: the role, and the logins that are granted it."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from sightline.storage.db import row_security, sql_loader
from sightline.storage.db.driver_errors import named_errors
from sightline.storage.db.pool import Connection
from sightline.storage.errors import (
    InvalidArgumentError,
    NotAllowedError,
    SchemaError,
    UnknownNameError,
    shown,
)

READER = "sightline_analyst"
#: Logs in for the tool `query_sql` on the Postgres that Sightline brings.
QUERY_LOGIN = "sightline_query"

_SQL = sql_loader.load("analytics")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD_BYTES = 24


async def ensure_query_login(connection: Connection, principal: str | None = None) -> str:
    """Make the login of `query_sql` where it is missing, and return its name.

    A principal that is bound to collections has a login of its own, bound to the same; others
    share one. For a superuser: on our own server.
    """
    login = QUERY_LOGIN
    if principal is not None:
        cursor = await connection.execute(_SQL["query_login_of"], {"principal": principal})
        if (row := await cursor.fetchone()) is not None:
            login = str(row[0])
    await connection.execute(_SQL["ensure_roles"])
    await connection.execute(
        sql.SQL(_SQL["query_login"]).format(name=sql.Identifier(login), literal=sql.Literal(login))
    )
    return login


async def query_login(dsn: str) -> str:
    """`ensure_query_login`, by the address of our own server."""
    async with _administration(dsn) as connection:
        return await ensure_query_login(connection)


async def grant(
    dsn: str, name: str, *, collections: Iterable[str] | None = None, everything: bool = False
) -> str:
    """Make a login that reads the schema; the connection string, which holds its new password.

    ``collections`` are the only ones that it is to see. A login that is there gets a new password
    and stays bound as it is, unless ``collections`` are given or ``everything`` sets it free.
    ``dsn`` is of a role that may make roles. Raises InvalidArgumentError for a name that will not
    do, UnknownNameError for a collection that is not there, and NotAllowedError where the role of
    ``dsn`` may not make roles, with what an administrator runs instead.
    """
    if not _NAME.fullmatch(name) or name.startswith(("pg_", "sightline_")):
        raise InvalidArgumentError(
            f"{shown(name)} will not do as a login's name; use lower-case letters, digits and _, "
            "such as 'alice'"
        )
    async with _administration(dsn) as connection:
        schema = await _extension_schema(connection)
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        # Hashed here: the statement may come to stand in the server's log.
        hashed = connection.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        )
        with _told_who_may(f"make {name!r}"):
            await connection.execute(_SQL["ensure_roles"])
            if everything:
                await row_security.remove_binding(connection, name, kind="db_role")
            elif collections is not None:
                await row_security.bind(connection, name, collections, kind="db_role")
            known = await _is_analyst(connection, name)
            for block in ("change_password" if known else "create_login", "login_settings"):
                await connection.execute(
                    sql.SQL(_SQL[block]).format(
                        name=sql.Identifier(name),
                        password=sql.Literal(hashed.decode()),
                        database=sql.Identifier(connection.info.dbname),
                        extension_schema=sql.Identifier(schema),
                    )
                )
        return make_conninfo(dsn, user=name, password=password)


async def revoke(dsn: str, name: str) -> None:
    """Take an analyst's login away, and end what it is doing.

    Raises UnknownNameError where there is no such login, NotAllowedError for a role that is no
    analyst's, or where the role of ``dsn`` may not drop roles.
    """
    async with _administration(dsn) as connection:
        if not await _is_analyst(connection, name):
            cursor = await connection.execute(_SQL["analysts"])
            raise UnknownNameError("login", name, [row[0] for row in await cursor.fetchall()])
        with _told_who_may(f"drop {name!r}"):
            await connection.execute(_SQL["end_sessions"], {"name": name})
            await connection.execute(sql.SQL(_SQL["drop_login"]).format(name=sql.Identifier(name)))
            await row_security.remove_binding(connection, name, kind="db_role")


@asynccontextmanager
async def _administration(dsn: str) -> AsyncIterator[Connection]:
    with named_errors():
        async with await AsyncConnection.connect(dsn) as connection:
            await connection.set_read_only(False)
            yield connection


async def _extension_schema(connection: Connection) -> str:
    """Where pgvector is; raises SchemaError where there is nothing to read yet."""
    found = await (await connection.execute(_SQL["extension_schema"])).fetchone()
    made = await (await connection.execute(_SQL["is_migrated"])).fetchone()
    if found is None or made != (True,):
        raise SchemaError("the database has no schema analytics yet; run: sightline migrate")
    return str(found[0])


async def _is_analyst(connection: Connection, name: str) -> bool:
    """False where there is no such role; raises NotAllowedError for one that is something else."""
    row = await (await connection.execute(_SQL["role"], {"name": name})).fetchone()
    if row is None:
        return False
    if row[0] is not True:
        raise NotAllowedError(
            f"there is a role {name!r} that is no analyst's; choose another name, or run as "
            f"administrator: GRANT {READER} TO {name}"
        )
    return True


@contextmanager
def _told_who_may(act: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowedError(
            f"{error.diag.message_primary}; run this as an administrator of the database (set "
            f"SIGHTLINE_DATABASE__URL to its address for this one command) to {act}"
        ) from error
