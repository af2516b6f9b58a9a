"""Runs read-only SQL statements, each in its own session as an analyst role.

The role can only read the schema ``analytics``: it is a member of no other role and owns nothing.
The transaction is read only, the extended protocol accepts one statement, and the session ends
after it. Postgres gets only the tokens that ``sql_guard`` has checked, as a subquery, so that it
also limits the rows and refuses a large row before it sends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import AsyncConnection, AsyncCursor, errors, sql
from psycopg.rows import TupleRow
from psycopg.types import TypeInfo
from pydantic import JsonValue
from pydantic_core import to_json

from sightline.storage.analytics import parse_tree
from sightline.storage.analytics.backend_process import limit_private_memory, lower_priority
from sightline.storage.analytics.query_sessions import (
    QuerySession,
    QuerySlots,
    limit_received_bytes,
)
from sightline.storage.analytics.sql_functions import ALLOWED_FUNCTIONS, VOLATILE_FUNCTIONS
from sightline.storage.analytics.sql_guard import VIEWS_HINT, Statement, check_statement
from sightline.storage.analytics.sql_values import register_loaders, shorten, to_json_value
from sightline.storage.db.pool import database_unavailable
from sightline.storage.db.queries import Connection, fetch_all, fetch_value, fetch_values, load_sql
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    NotAllowedError,
    choices,
)

_SQL = load_sql("analytics")
_CONNECT_TIMEOUT_SECONDS = 5
# Time beyond the statement timeout before a server that does not answer is abandoned.
_GRACE_SECONDS = 5.0
# Postgres refuses a larger row. Long values of a smaller one are shortened here.
_MAX_ROW_BYTES = 1024 * 1024
# Of all rows of a result, before their values are shortened.
_MAX_READ_BYTES = 4 * _MAX_ROW_BYTES
# Of each part of an error message, which quotes values.
_MAX_ERROR_CHARS = 500
# Everything that a session sends: the catalog, rows, errors with the values that they are about.
_MAX_RECEIVED_BYTES = 4 * _MAX_READ_BYTES
# Private memory of a session: 16 MB for each sort or hash, and values while they are built.
_MAX_SESSION_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column of a result, with the Postgres name of its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Result of a statement. ``truncated``: why there are no more rows."""

    columns: list[SqlColumn]
    rows: list[list[JsonValue]]
    truncated: str | None
    milliseconds: float


@dataclass(frozen=True, slots=True)
class ViewSummary:
    """A view with its columns as ``name type``."""

    name: str
    comment: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class FunctionSummary:
    """A function with its signature."""

    name: str
    arguments: str
    result: str
    comment: str


@dataclass(frozen=True, slots=True)
class SchemaSummary:
    """Views and functions of the schema ``analytics``."""

    views: list[ViewSummary]
    functions: list[FunctionSummary]


class SqlRunner:
    """Runs statements as the role of ``dsn``, which ``analyst_roles`` creates."""

    def __init__(
        self,
        dsn: str,
        *,
        timeout_seconds: float,
        max_rows: int,
        max_bytes: int,
        slots: QuerySlots | None = None,
        is_local: bool = False,
    ) -> None:
        """``max_bytes`` limits the rows of a result, as JSON.

        ``is_local``: Postgres runs on this machine, so the memory of its sessions can be limited.
        """
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._slots = slots or QuerySlots()
        self._is_local = is_local

    async def run(
        self, text: str, *, rows: int, explain: bool = False, caller: str | None = None
    ) -> SqlResult:
        """Run one statement, or return its plan without estimates with ``explain``.

        ``caller``: whose share of the slots it uses. Raises InvalidArgumentError with the message
        of Postgres, its hint and the available names; NotAllowedError for a statement that is not
        allowed.
        """
        if not 1 <= rows <= self._max_rows:
            raise InvalidArgumentError(f"limit is {rows}. Use 1 to {self._max_rows}.")
        statement = check_statement(text)
        started = time.perf_counter()
        async with self._session(caller) as (connection, session):
            await _require_allowed_names(connection, statement)
            query = parse_tree.prepare_statement(_limited_query(statement, rows))
            try:
                async with asyncio.timeout(self._timeout_seconds + _GRACE_SECONDS):
                    _require_none(await parse_tree.refused_objects(connection, query))
                    query = _limited_query(statement, rows, explain=explain)
                    columns, values, truncated = await self._stream(connection, query, rows)
                    columns = columns or await _describe(connection, statement, explain=explain)
            except (errors.QueryCanceled, TimeoutError) as error:
                raise InvalidArgumentError(
                    f"The statement took longer than {self._timeout_seconds:g} s. Narrow it down "
                    "(WHERE, LIMIT, one collection), or see its plan with explain=true."
                ) from error
            except errors.OutOfMemory as error:
                raise InvalidArgumentError(
                    f"The statement needs more memory than {_MAX_SESSION_BYTES // 2**20} MiB. "
                    "Narrow it down, or build shorter values."
                ) from error
            except psycopg.Error as error:
                if session.exceeded:
                    raise InvalidArgumentError(
                        f"Postgres answered with more than {session.max_bytes:,} bytes, in rows or "
                        "an error message with a long value. Shorten it, as in left(text, 1000)."
                    ) from error
                if connection.closed:
                    raise database_unavailable(error) from error
                await connection.rollback()
                raise await _to_argument_error(connection, statement, query, error) from error
        return SqlResult(columns, values, truncated, 1000 * (time.perf_counter() - started))

    async def schema(self, caller: str | None = None) -> SchemaSummary:
        """Return the views and functions of the schema with their comments."""
        async with self._session(caller) as (connection, _):
            return await _fetch_schema(connection)

    async def _stream(
        self, connection: Connection, query: sql.Composed, max_rows: int
    ) -> tuple[list[SqlColumn], list[list[JsonValue]], str | None]:
        rows: list[list[JsonValue]] = []
        size = read_bytes = 0
        truncated = None
        async with connection.cursor() as cursor:
            # stream() uses the extended protocol, which accepts one statement, and holds one row
            # at a time.
            generator = cast("AsyncGenerator[TupleRow, None]", cursor.stream(query))
            async with aclosing(generator) as stream:
                async for *row, row_bytes in stream:
                    if len(rows) == max_rows:
                        truncated = f"there are more than {max_rows} rows"
                        break
                    values = [to_json_value(value) for value in row]
                    size += len(to_json(values))
                    read_bytes += row_bytes
                    if size > self._max_bytes or read_bytes > _MAX_READ_BYTES:
                        limit = self._max_bytes if size > self._max_bytes else _MAX_READ_BYTES
                        truncated = f"further rows would exceed {limit:,} bytes"
                        break
                    rows.append(values)
                    await asyncio.sleep(0)  # rows that have arrived must not delay other calls
            columns = _columns(cursor)
        return columns, rows, truncated

    @asynccontextmanager
    async def _session(
        self, caller: str | None = None
    ) -> AsyncIterator[tuple[Connection, QuerySession]]:
        async with self._slots.hold(caller) as slot:
            try:
                connection = await AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                    application_name="sightline query_sql",
                    client_encoding="UTF8",
                )
            except psycopg.OperationalError as error:
                raise database_unavailable(error) from error
            async with connection, limit_received_bytes(connection, _MAX_RECEIVED_BYTES) as session:
                slot.session = session
                pid, user = connection.info.backend_pid, connection.info.user
                if self._is_local:
                    slot.when_stuck = partial(lower_priority, pid, user)
                await self._prepare(connection)
                if self._is_local:
                    await limit_private_memory(pid, user, _MAX_SESSION_BYTES)
                await connection.set_autocommit(False)
                await connection.set_read_only(True)
                yield connection, session

    async def _prepare(self, connection: Connection) -> None:
        problem = await fetch_value(connection, _SQL["role_problem"])
        if problem is not None:
            raise ConfigurationError(
                f"SQL queries cannot run as {connection.info.user!r}: {problem}. Create a role "
                "with sightline grant-analyst NAME and use it in "
                "SIGHTLINE_ANALYTICS__DATABASE_URL."
            )
        schema = await fetch_value(connection, _SQL["extension_schema"])
        if schema is None:
            raise ConfigurationError("The database has no pgvector. Run: sightline migrate")
        timeout_ms = f"{round(1000 * self._timeout_seconds)}ms"
        params = {"extension_schema": schema, "timeout_ms": timeout_ms}
        await connection.execute(_SQL["session_settings"], params)
        register_loaders(connection)
        info = await TypeInfo.fetch(connection, "halfvec")
        if info is not None:
            info.register(connection)
            register_halfvec_info(connection, info)


async def _require_allowed_names(connection: Connection, statement: Statement) -> None:
    """Raise NotAllowedError for functions and types that are not allowed."""
    params = {
        "called": statement.called_names,
        "names": sorted(statement.names),
        "allowed": ALLOWED_FUNCTIONS,
        "volatile": VOLATILE_FUNCTIONS,
    }
    _require_none(await fetch_values(connection, _SQL["refused_names"], params))


def _require_none(refused: Sequence[str]) -> None:
    if refused:
        raise NotAllowedError(
            f"{choices(refused)} is not allowed: it can have side effects or read the system "
            "catalog. Use the functions of the schema analytics, and functions of Postgres for "
            f"numbers, text, times, arrays, JSON and aggregates. {VIEWS_HINT}"
        )


def _limited_query(statement: Statement, max_rows: int, *, explain: bool = False) -> sql.Composed:
    """Return the statement or its plan with limits.

    The last column is the size of the row.
    """
    # The statement consists of checked tokens with balanced parentheses.
    query: sql.Composable = sql.SQL(statement.sql)
    if explain:
        query = sql.SQL(_SQL["query_plan"]).format(statement=sql.Literal(statement.sql))
    return sql.SQL(_SQL["limited_query"]).format(
        row=sql.Identifier(statement.unused_name("sightline_row")),
        statement=query,
        max_bytes=sql.Literal(_MAX_ROW_BYTES),
        max_rows=sql.Literal(max_rows + 1),
    )


def _columns(cursor: AsyncCursor[TupleRow]) -> list[SqlColumn]:
    """Return the columns of the statement, without the size of the row."""
    return [SqlColumn(each.name, each.type_display) for each in (cursor.description or ())[:-1]]


async def _describe(
    connection: Connection, statement: Statement, *, explain: bool
) -> list[SqlColumn]:
    """Return the columns of a statement without rows. LIMIT 0 does not run it."""
    async with connection.cursor() as cursor:
        # Binary: with the extended protocol, which accepts one statement.
        await cursor.execute(_limited_query(statement, -1, explain=explain), binary=True)
        return _columns(cursor)


async def _fetch_schema(connection: Connection) -> SchemaSummary:
    return SchemaSummary(
        await fetch_all(connection, _SQL["views"], row=ViewSummary),
        await fetch_all(connection, _SQL["functions"], row=FunctionSummary),
    )


async def _to_argument_error(
    connection: Connection, statement: Statement, query: sql.Composed, error: psycopg.Error
) -> InvalidArgumentError:
    """Return an error with the message of Postgres and the available names."""
    diagnosis = error.diag
    primary = diagnosis.message_primary or str(error)
    if isinstance(error, errors.SyntaxError) and _is_at_end(statement, query, diagnosis):
        primary = "syntax error at end of input"
    parts = (primary, diagnosis.message_detail, diagnosis.message_hint)
    message = ". ".join(shorten(part, _MAX_ERROR_CHARS).rstrip(".") for part in parts if part)
    schema = await _fetch_schema(connection)
    if isinstance(error, errors.UndefinedColumn | errors.AmbiguousColumn):
        listed = [
            f"{view.name} ({', '.join(column.split()[0] for column in view.columns)})"
            for view in schema.views
            if view.name in statement.names
        ]
        message += f". Columns: {'; '.join(listed)}" if listed else ""
    elif isinstance(
        error, errors.UndefinedTable | errors.InsufficientPrivilege | errors.InvalidSchemaName
    ):
        message += f". Views: {', '.join(view.name for view in schema.views)}"
    elif isinstance(error, errors.UndefinedFunction | errors.AmbiguousFunction):
        message += ". Functions: " + ", ".join(
            f"{each.name}({each.arguments})" if each.name in statement.names else each.name
            for each in schema.functions
        )
    return InvalidArgumentError(f"Postgres: {message}.")


def _is_at_end(statement: Statement, query: sql.Composed, diagnosis: errors.Diagnostic) -> bool:
    """Whether an error is at the parenthesis that was added after the statement."""
    text = diagnosis.internal_query or query.as_string()
    position = diagnosis.internal_position or diagnosis.statement_position
    start = text.find(f"({statement.sql}) AS")
    return position == str(start + len(statement.sql) + 2)
