"""Runs read-only SQL statements, each in its own session as an analyst role.

The role can only read the schema ``analytics``: it is a member of no other role and owns nothing.
The transaction is read only, the extended protocol accepts one statement, and the session ends
after it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

import psycopg
from pgvector import HalfVector, Vector
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow
from psycopg.types import TypeInfo
from pydantic import JsonValue
from pydantic_core import to_json

from sightline.storage.analytics.sql_guard import (
    ALLOWED_VOLATILE_FUNCTIONS,
    Statement,
    check_statement,
)
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
_MAX_CONCURRENT = 4
# Time beyond the statement timeout before a server that does not answer is abandoned.
_GRACE_SECONDS = 5.0
_MAX_TEXT_CHARS = 2_000
_MAX_LIST_ITEMS = 100
_MAX_VECTOR_NUMBERS = 6
_MAX_BYTES_SHOWN = 16


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

    def __init__(self, dsn: str, *, timeout_seconds: float, max_rows: int, max_bytes: int) -> None:
        """``max_bytes`` limits the rows of a result, as JSON."""
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._semaphore = asyncio.Semaphore(_MAX_CONCURRENT)

    async def run(self, text: str, *, rows: int, explain: bool = False) -> SqlResult:
        """Run one statement, or return its plan with ``explain``.

        Raises InvalidArgumentError with the message of Postgres, its hint and the available
        names; NotAllowedError for a statement that is not allowed.
        """
        if not 1 <= rows <= self._max_rows:
            raise InvalidArgumentError(f"limit is {rows}. Use 1 to {self._max_rows}.")
        statement = check_statement(text)
        started = time.perf_counter()
        async with self._session() as connection:
            params = {"names": statement.called_names, "allowed": ALLOWED_VOLATILE_FUNCTIONS}
            if forbidden := await fetch_values(connection, _SQL["forbidden_functions"], params):
                raise NotAllowedError(
                    f"{choices(forbidden)} can have side effects and is not allowed. Use stable or "
                    "immutable functions."
                )
            query = f"EXPLAIN {statement.text}" if explain else statement.text
            try:
                async with asyncio.timeout(self._timeout_seconds + _GRACE_SECONDS):
                    columns, values, truncated = await self._stream(connection, query, rows)
            except (errors.QueryCanceled, TimeoutError) as error:
                raise InvalidArgumentError(
                    f"The statement took longer than {self._timeout_seconds:g} s. Narrow it down "
                    "(WHERE, LIMIT, one collection), or see its plan with explain=true."
                ) from error
            except psycopg.Error as error:
                await connection.rollback()
                raise await _to_argument_error(connection, statement, error) from error
        return SqlResult(columns, values, truncated, 1000 * (time.perf_counter() - started))

    async def schema(self) -> SchemaSummary:
        """Return the views and functions of the schema with their comments."""
        async with self._session() as connection:
            return await _fetch_schema(connection)

    async def _stream(
        self, connection: Connection, query: str, max_rows: int
    ) -> tuple[list[SqlColumn], list[list[JsonValue]], str | None]:
        rows: list[list[JsonValue]] = []
        size = 0
        truncated = None
        async with connection.cursor() as cursor:
            # stream() uses the extended protocol, which accepts one statement, and holds one row
            # at a time.
            generator = cast("AsyncGenerator[TupleRow, None]", cursor.stream(query.encode()))
            async with aclosing(generator) as stream:
                async for row in stream:
                    if len(rows) == max_rows:
                        truncated = f"there are more than {max_rows} rows"
                        break
                    values = [to_json_value(value) for value in row]
                    size += len(to_json(values))
                    if size > self._max_bytes:
                        truncated = f"further rows would exceed {self._max_bytes:,} bytes"
                        break
                    rows.append(values)
            columns = [SqlColumn(c.name, c.type_display) for c in cursor.description or ()]
        return columns, rows, truncated

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        async with self._semaphore:
            try:
                connection = await AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                    application_name="sightline query_sql",
                )
            except psycopg.OperationalError as error:
                raise database_unavailable(error) from error
            try:
                await self._prepare(connection)
                await connection.set_autocommit(False)
                await connection.set_read_only(True)
                yield connection
            finally:
                await connection.close()

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
        info = await TypeInfo.fetch(connection, "halfvec")
        if info is not None:
            info.register(connection)
            register_halfvec_info(connection, info)


async def _fetch_schema(connection: Connection) -> SchemaSummary:
    return SchemaSummary(
        await fetch_all(connection, _SQL["views"], row=ViewSummary),
        await fetch_all(connection, _SQL["functions"], row=FunctionSummary),
    )


async def _to_argument_error(
    connection: Connection, statement: Statement, error: psycopg.Error
) -> InvalidArgumentError:
    """Return an error with the message of Postgres and the available names."""
    diagnosis = error.diag
    primary = diagnosis.message_primary or str(error)
    parts = (primary, diagnosis.message_detail, diagnosis.message_hint)
    message = ". ".join(part.rstrip(".") for part in parts if part)
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


def to_json_value(value: object) -> JsonValue:
    """Convert a Postgres value to JSON.

    Long texts, lists, bytes and vectors are shortened and state their length. Times are ISO 8601.
    NaN and infinities are strings.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return to_json_value(float(value))
        case datetime():
            return value.isoformat()
        case HalfVector() | Vector():
            numbers = value.to_list()
            items = [f"{number:.4f}" for number in numbers[:_MAX_VECTOR_NUMBERS]]
            more = len(numbers) - _MAX_VECTOR_NUMBERS
            items += [f"… {more:,} more numbers"] if more > 0 else []
            return f"[{', '.join(items)}]"
        case bytes() | memoryview():
            start = f"\\x{bytes(value[:_MAX_BYTES_SHOWN]).hex()}"
            return f"{start}… ({len(value):,} bytes)" if len(value) > _MAX_BYTES_SHOWN else start
        case Mapping():
            return {str(key): to_json_value(each) for key, each in value.items()}
        case list() | tuple():
            values = [to_json_value(each) for each in value[:_MAX_LIST_ITEMS]]
            more = len(value) - _MAX_LIST_ITEMS
            return [*values, f"… {more:,} more"] if more > 0 else values
    text = str(value)  # ISO 8601 for dates and times
    if len(text) <= _MAX_TEXT_CHARS:
        return text
    return f"{text[:_MAX_TEXT_CHARS]}… ({len(text):,} characters)"
