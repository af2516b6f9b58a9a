"""Database roles that may read the schema ``analytics``."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import AsyncIterator, Container, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psycopg
from psycopg import sql

from sightline.storage.db import row_security
from sightline.storage.db.connect import connect_async, connection_url
from sightline.storage.db.pool import wrap_driver_errors
from sightline.storage.db.queries import Connection, fetch_value, fetch_values, load_sql
from sightline.storage.db.schema_safety import require_safe_schemas
from sightline.storage.errors import (
    InvalidArgumentError,
    NotAllowedError,
    SchemaError,
    UnknownNameError,
    choices,
    shown,
)

logger = logging.getLogger(__name__)

ANALYST_ROLE = "sightline_analyst"
#: Role of the tool `query_sql` on the embedded Postgres.
QUERY_ROLE = "sightline_query"

_SQL = load_sql("analytics")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD_BYTES = 24
#: Comment on a schema, which tells that Sightline made it.
_SCHEMA_COMMENT = "Own objects of an analyst; made by sightline grant-analyst."


async def ensure_query_role(
    connection: Connection, principal: str | None = None, *, known: Container[str] = ()
) -> str:
    """Create the role of `query_sql` if missing; return its name.

    A bound principal has its own role with the same collections; the others share one. Needs a
    superuser (embedded Postgres). Roles in ``known`` exist with all their settings.
    """
    params = {"principal": principal}
    role = (
        await fetch_value(connection, _SQL["query_role"], params)
        or await fetch_value(connection, _SQL["assign_query_role"], params)
        or QUERY_ROLE
    )
    if role not in known:
        await connection.execute(_SQL["ensure_roles"])
        create = sql.SQL(_SQL["create_query_role"])
        await connection.execute(create.format(name=sql.Identifier(role), literal=role))
        await _set_role_settings(connection, role)
    return role


async def _set_role_settings(
    connection: Connection, role: str, *, own_schema: str | None = None
) -> None:
    """Set the search path and limits of a role; it writes only to ``own_schema``.

    Limits of what the role writes to the disk need a superuser, or a role that may set
    ``temp_file_limit`` and ``log_min_messages``; the role itself cannot change them.
    """
    names = {
        "name": role,
        "database": connection.info.dbname,
        "extension_schema": await fetch_value(connection, _SQL["extension_schema"]),
    }
    parts = {key: sql.Identifier(each) for key, each in names.items()}
    await connection.execute(sql.SQL(_SQL["role_settings"]).format(**parts))
    if own_schema is not None:
        writable = sql.SQL(_SQL["writable_settings"])
        await connection.execute(writable.format(**parts, schema=sql.Identifier(own_schema)))
    statement = sql.SQL(_SQL["superuser_settings"]).format(**parts)
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        logger.warning(
            "temporary files and log messages of %s are not limited; a superuser can run: %s",
            role,
            " ".join(statement.as_string(connection).split()),
        )


async def shared_query_role(dsn: str) -> str:
    """Create the shared role of `query_sql` on the embedded Postgres; return its name."""
    async with _admin_connection(dsn) as connection:
        return await ensure_query_role(connection)


async def grant_analyst(
    dsn: str,
    name: str,
    *,
    collections: Iterable[str] | None = None,
    everything: bool = False,
    schema: str | None = None,
) -> str:
    """Create an analyst role; return its URL with a new password.

    ``collections`` limits what it sees. ``schema`` is created for it, and then it may create
    objects there. An existing role gets a new password and keeps its schema, and its binding,
    unless ``collections`` are given or ``everything`` removes it. The role of ``dsn`` must be
    allowed to create roles. Raises InvalidArgumentError for an invalid name or an existing schema,
    UnknownNameError for an unknown collection, NotAllowedError without the rights, and SchemaError
    if others can create objects in a schema of the search path.
    """
    for what, value in (("role", name), ("schema", schema)):
        if value is not None and (
            not _NAME.fullmatch(value) or value.startswith(("pg_", "sightline_"))
        ):
            raise InvalidArgumentError(
                f"{shown(value)} is not a valid {what} name. Use lower-case letters, digits and _, "
                "such as 'alice'."
            )
    async with _admin_connection(dsn) as connection:
        if not await fetch_value(connection, _SQL["is_migrated"]):
            raise SchemaError("The database has no schema analytics yet. Run: sightline migrate")
        await require_safe_schemas(connection)
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        # Hash it here: the statement may appear in the server's log.
        encrypt = connection.pgconn.encrypt_password
        hashed = encrypt(password.encode(), name.encode(), b"scram-sha-256").decode()
        with _explain_missing_rights(f"create {name!r}"):
            await connection.execute(_SQL["ensure_roles"])
            if everything:
                await row_security.remove_binding(connection, name, kind="db_role")
            elif collections is not None:
                await row_security.bind(connection, name, collections, kind="db_role")
            exists = await _is_analyst(connection, name)
            statement = sql.SQL(_SQL["change_password" if exists else "create_role"])
            await connection.execute(statement.format(name=sql.Identifier(name), password=hashed))
            own_schema = await _ensure_schema(connection, name, schema)
            await _set_role_settings(connection, name, own_schema=own_schema)
        return connection_url(dsn, user=name, password=password)


async def _ensure_schema(connection: Connection, name: str, wanted: str | None) -> str | None:
    """Create the schema of an analyst if it has none; return its name.

    The analyst may create objects in it and does not own it, so it cannot open it to others.
    """
    own = await _schema_of(connection, name)
    if wanted in (None, own):
        return own
    if own is not None:
        raise InvalidArgumentError(
            f"{name!r} has the schema {own!r} already. Use it, or revoke the login first."
        )
    if await fetch_value(connection, _SQL["schema_exists"], {"schema": wanted}):
        raise InvalidArgumentError(
            f"The schema {shown(wanted)} exists already. Choose the name of a new one."
        )
    if wanted != name and await fetch_value(connection, _SQL["is_role"], {"schema": wanted}):
        # It is the first schema on the search path of that role: "$user".
        raise InvalidArgumentError(
            f"{shown(wanted)} is the name of another role, which would look up names in the schema "
            "of the analyst. Choose the name of no role."
        )
    statement = sql.SQL(_SQL["create_schema"]).format(
        schema=sql.Identifier(wanted), name=sql.Identifier(name), comment=_SCHEMA_COMMENT
    )
    await connection.execute(statement)
    return wanted


async def _schema_of(connection: Connection, name: str) -> str | None:
    """Return the schema that was made for an analyst."""
    params = {"name": name, "comment": _SCHEMA_COMMENT}
    schema: str | None = await fetch_value(connection, _SQL["schema_of_analyst"], params)
    return schema


async def revoke_analyst(dsn: str, name: str, *, drop_owned: bool = False) -> list[str]:
    """Drop an analyst role; return the objects that were dropped with it.

    Ends its sessions. Raises UnknownNameError for an unknown role, NotAllowedError for a role that
    is not an analyst or owns objects (unless ``drop_owned``), or if the role of ``dsn`` may not
    drop roles.
    """
    async with _admin_connection(dsn) as connection:
        if not await _is_analyst(connection, name):
            analysts = await fetch_values(connection, _SQL["analysts"])
            raise UnknownNameError("analyst", name, analysts)
        with _explain_missing_rights(f"drop {name!r}"):
            await _require_no_objects(connection, name, drop_owned=drop_owned)
            join = sql.SQL(_SQL["join_role"]).format(name=sql.Identifier(name), literal=name)
            await connection.execute(join)
            await connection.execute(_SQL["end_sessions"], {"name": name})
            # Its last session may have created some.
            owned = await _require_no_objects(connection, name, drop_owned=drop_owned)
            schema = await _schema_of(connection, name)
            await connection.execute(sql.SQL(_SQL["drop_role"]).format(name=sql.Identifier(name)))
            if schema is not None:
                await _drop_empty_schema(connection, schema)
            await row_security.remove_binding(connection, name, kind="db_role")
    return owned


async def _drop_empty_schema(connection: Connection, schema: str) -> None:
    """Drop the schema that was made for an analyst, unless it has objects of others."""
    statement = sql.SQL(_SQL["drop_schema"]).format(schema=sql.Identifier(schema))
    with suppress(psycopg.errors.DependentObjectsStillExist):
        async with connection.transaction():
            await connection.execute(statement)


async def _require_no_objects(connection: Connection, name: str, *, drop_owned: bool) -> list[str]:
    """Return what a role owns.

    Raises NotAllowedError for any object unless ``drop_owned``.
    """
    owned: list[str] = await fetch_values(connection, _SQL["owned_objects"], {"name": name})
    if owned and not drop_owned:
        role = sql.Identifier(name).as_string(connection)
        # Postgres runs functions in indexes with the rights of the owner of the table.
        raise NotAllowedError(
            f"{name} owns {choices(owned)}. Nothing was changed. To keep them, give them to "
            f"another analyst, and not to an administrator, with whose rights the functions of "
            f"{name} would run: REASSIGN OWNED BY {role} TO other_analyst. To delete them with the "
            "login, add --drop-owned."
        )
    return owned


@asynccontextmanager
async def _admin_connection(dsn: str) -> AsyncIterator[Connection]:
    with wrap_driver_errors():
        async with await connect_async(dsn) as connection:
            await connection.set_read_only(False)
            yield connection


async def _is_analyst(connection: Connection, name: str) -> bool:
    """Return False for a missing role. Raises NotAllowedError if it is not an analyst."""
    is_analyst = await fetch_value(connection, _SQL["is_analyst"], {"name": name})
    if is_analyst is None:
        return False
    if not is_analyst:
        raise NotAllowedError(
            f"The role {name!r} exists and is not an analyst. Choose another name, or run as an "
            f"administrator: GRANT {ANALYST_ROLE} TO {name}"
        )
    return True


@contextmanager
def _explain_missing_rights(action: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowedError(
            f"{error.diag.message_primary}. To {action}, run this as a database administrator: "
            "set SIGHTLINE_DATABASE__URL to its address for this command."
        ) from error
