"""Who reads the schema ``analytics``: the role, and the logins that are granted it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.storage import queries
from sightline.storage.database import Connection
from sightline.storage.database_errors import named_errors
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, SchemaError, shown

READER = "sightline_reader"
#: Logs in for the tool `query_sql` on the Postgres that Sightline brings.
QUERY_LOGIN = "sightline_query"

_SQL = queries.load("analytics")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD_BYTES = 24


async def ensure_query_login(connection: Connection) -> None:
    """Make the login of `query_sql` where it is missing. For a superuser: on our own server."""
    await connection.execute(_SQL["reader"])
    await connection.execute(_SQL["query_login"])


def grant(dsn: str, name: str) -> str:
    """Make a login that reads the schema; the connection string, which holds its new password.

    A login that is there already gets a new password. ``dsn`` is of a role that may make roles.
    Raises InvalidArgumentError for a name that will not do, NotAllowedError where the role of
    ``dsn`` may not make roles, with what an administrator runs instead.
    """
    if not _NAME.fullmatch(name) or name.startswith("pg_") or name in (READER, QUERY_LOGIN):
        raise InvalidArgumentError(
            f"{shown(name)} will not do as a login's name; use lower-case letters, digits and _, "
            "such as 'alice'"
        )
    with named_errors(), psycopg.connect(dsn) as connection:
        connection.read_only = False
        found = connection.execute(_SQL["extension_schema"]).fetchone()
        if found is None or connection.execute(
            "SELECT to_regclass('analytics.assets') IS NULL"
        ).fetchone() == (True,):
            raise SchemaError("the database has no schema analytics yet; run: sightline migrate")
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        # Hashed here: the statement may come to stand in the server's log.
        hashed = connection.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        )
        with _told_who_may(name):
            if connection.execute(_SQL["has_reader"]).fetchone() != (True,):
                connection.execute(_SQL["reader"])
            block = _how(connection, name)
            for text in (_SQL[block], _SQL["login_settings"]):
                connection.execute(
                    sql.SQL(text).format(
                        name=sql.Identifier(name),
                        password=sql.Literal(hashed.decode()),
                        database=sql.Identifier(connection.info.dbname),
                        extension_schema=sql.Identifier(found[0]),
                    )
                )
        return make_conninfo(dsn, user=name, password=password)


def _how(connection: psycopg.Connection[tuple[object, ...]], name: str) -> str:
    row = connection.execute(_SQL["role"], {"name": name}).fetchone()
    if row is None:
        return "create_login"
    if row[0] is not True:
        raise NotAllowedError(
            f"there is a role {name!r} that is no analyst's; choose another name, or run as "
            f"administrator: GRANT {READER} TO {name}"
        )
    return "change_password"


@contextmanager
def _told_who_may(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowedError(
            f"{error.diag.message_primary}; run this as an administrator of the database (set "
            f"SIGHTLINE_DATABASE_URL to its address for this one command) to make {name!r}"
        ) from error
