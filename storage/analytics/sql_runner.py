"""Questions in SQL, each in a session of its own, as a login that may read ``analytics`` alone.

There is nothing in such a session to escape to: the login is no member of any other role and owns
nothing, and the session ends with the question. The transaction is read only, and the extended
protocol takes one statement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow
from psycopg.types import TypeInfo
from pydantic import JsonValue
from pydantic_core import to_json

from sightline.storage.analytics import sql_guard as statements
from sightline.storage.analytics.json_values import as_json
from sightline.storage.analytics.sql_guard import Statement
from sightline.storage.db import sql_loader
from sightline.storage.db.driver_errors import unavailable
from sightline.storage.db.pool import Connection
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    NotAllowedError,
    choices,
)

_SQL = sql_loader.load("analytics")
_CONNECT_SECONDS = 5
_AT_ONCE = 4
# The server's own limit comes first; this one is for a server that does not answer.
_PATIENCE_SECONDS = 5.0

_UNKNOWN_TABLE = (errors.UndefinedTable, errors.InsufficientPrivilege, errors.InvalidSchemaName)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer, with Postgres' name of its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in the order of the columns; ``truncated`` says why there are no more of them."""

    columns: list[Column]
    rows: list[list[JsonValue]]
    truncated: str | None
    milliseconds: float


@dataclass(frozen=True, slots=True)
class View:
    """A view with its columns as ``name type``."""

    name: str
    comment: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it is called."""

    name: str
    arguments: str
    result: str
    comment: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What there is to ask."""

    views: list[View]
    functions: list[Function]


class Questions:
    """Asks the database; ``dsn`` is of a login made by ``roles``."""

    def __init__(
        self, dsn: str, *, timeout_seconds: float, most_rows: int, most_bytes: int
    ) -> None:
        """``most_bytes`` bounds the rows of an answer as JSON."""
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, text: str, *, rows: int, explain: bool = False) -> Answer:
        """Run one statement, or with ``explain`` say how it would be run.

        Raises InvalidArgumentError with Postgres' own message and hint and the names that there
        are; NotAllowedError for what a question may not do.
        """
        if not 1 <= rows <= self._most_rows:
            raise InvalidArgumentError(f"limit is {rows}; use 1 to {self._most_rows}")
        statement = statements.read(text)
        began = time.perf_counter()
        async with self._session() as connection:
            await self._require_harmless(connection, statement)
            query = f"EXPLAIN {statement.text}" if explain else statement.text
            try:
                async with asyncio.timeout(self._timeout_seconds + _PATIENCE_SECONDS):
                    columns, found, truncated = await self._stream(connection, query, rows)
            except (errors.QueryCanceled, TimeoutError) as error:
                raise InvalidArgumentError(
                    f"the statement took longer than {self._timeout_seconds:g} s; narrow it down "
                    "(WHERE, LIMIT, one collection), or look at its plan with explain=true"
                ) from error
            except psycopg.Error as error:
                await connection.rollback()
                raise await _worded(connection, statement, error) from error
        return Answer(columns, found, truncated, 1000 * (time.perf_counter() - began))

    async def outline(self) -> Outline:
        """Views and functions of the schema, with their comments."""
        async with self._session() as connection:
            return await _outline(connection)

    async def _stream(
        self, connection: Connection, query: str, most: int
    ) -> tuple[list[Column], list[list[JsonValue]], str | None]:
        found: list[list[JsonValue]] = []
        size = 0
        async with connection.cursor() as cursor:
            # stream() speaks the extended protocol, which takes a single statement, and holds one
            # row at a time. The text is the caller's; the session is what bounds it.
            streaming = cast("AsyncGenerator[TupleRow, None]", cursor.stream(query.encode()))
            async with aclosing(streaming) as stream:
                async for row in stream:
                    if len(found) == most:
                        return _columns(cursor), found, f"there are more than {most} rows"
                    values = [as_json(value) for value in row]
                    size += len(to_json(values))
                    if size > self._most_bytes:
                        msg = f"further rows would pass {self._most_bytes:,} bytes"
                        return _columns(cursor), found, msg
                    found.append(values)
            return _columns(cursor), found, None

    async def _require_harmless(self, connection: Connection, statement: Statement) -> None:
        cursor = await connection.execute(
            _SQL["forbidden_functions"],
            {"names": list(statement.called), "harmless": list(statements.HARMLESS)},
        )
        if found := [row[0] for row in await cursor.fetchall()]:
            raise NotAllowedError(
                f"{choices(found)} does more than to return a value of the data, which a question "
                "may not; use functions that are stable or immutable"
            )

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        async with self._free:
            try:
                connection = await AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_SECONDS,
                    application_name="sightline query_sql",
                )
            except psycopg.OperationalError as error:
                raise unavailable(error) from error
            try:
                await self._prepare(connection)
                await connection.set_autocommit(False)
                await connection.set_read_only(True)
                yield connection
            finally:
                await connection.close()

    async def _prepare(self, connection: Connection) -> None:
        (wrong,) = await _row(connection, "who")
        if wrong is not None:
            raise ConfigurationError(
                f"questions may not run as {connection.info.user!r}: {wrong}; make a login with "
                "sightline grant-analyst NAME and set SIGHTLINE_ANALYTICS__DATABASE_URL to it"
            )
        (schema,) = await _row(connection, "extension_schema")
        await connection.execute(
            _SQL["session"],
            {
                "extension_schema": schema,
                "timeout_ms": f"{round(1000 * self._timeout_seconds)}ms",
            },
        )
        info = await TypeInfo.fetch(connection, "halfvec")
        if info is not None:
            info.register(connection)
            register_halfvec_info(connection, info)


async def _row(connection: Connection, block: str) -> tuple[object, ...]:
    row = await (await connection.execute(_SQL[block])).fetchone()
    if row is None:
        raise ConfigurationError("the database lacks pgvector or the login has no role")
    return tuple(row)


def _columns(cursor: psycopg.AsyncCursor[tuple[object, ...]]) -> list[Column]:
    return [Column(each.name, each.type_display) for each in cursor.description or ()]


async def _outline(connection: Connection) -> Outline:
    views = await (await connection.execute(_SQL["views"])).fetchall()
    functions = await (await connection.execute(_SQL["functions"])).fetchall()
    return Outline(
        [View(name, comment, tuple(columns)) for name, comment, columns in views],
        [Function(*row) for row in functions],
    )


async def _worded(
    connection: Connection, statement: Statement, error: psycopg.Error
) -> InvalidArgumentError:
    """Postgres' own message, detail and hint, and what there is where a name was wrong."""
    diagnosis = error.diag
    said = [diagnosis.message_primary or str(error)]
    said += [each for each in (diagnosis.message_detail, diagnosis.message_hint) if each]
    sentence = ". ".join(part.rstrip(".") for part in said)
    if isinstance(error, errors.UndefinedColumn | errors.AmbiguousColumn):
        outline = await _outline(connection)
        listed = [
            f"{view.name} ({', '.join(column.split()[0] for column in view.columns)})"
            for view in outline.views
            if view.name in statement.named
        ]
        sentence += f". Columns: {'; '.join(listed)}" if listed else ""
    elif isinstance(
        error, errors.UndefinedTable | errors.InsufficientPrivilege | errors.InvalidSchemaName
    ):
        outline = await _outline(connection)
        sentence += f". Views: {', '.join(view.name for view in outline.views)}"
    elif isinstance(error, errors.UndefinedFunction | errors.AmbiguousFunction):
        outline = await _outline(connection)
        sentence += ". Functions: " + ", ".join(
            f"{each.name}({each.arguments})" if each.name in statement.named else each.name
            for each in outline.functions
        )
    return InvalidArgumentError(f"Postgres: {sentence}.")
