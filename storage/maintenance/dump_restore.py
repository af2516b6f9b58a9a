"""Restores a dump of the database, also with the rights of an ordinary role.

The script of pg_restore runs in a session that has loaded pgvector: without it, only a superuser
may create functions that set parameters such as ``hnsw.ef_search``. Psql does not run the script,
because a script can make psql start programs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage.db.connect import connect
from sightline.storage.db.schema_safety import extension_schema_sync
from sightline.storage.errors import SchemaError, StorageError
from sightline.storage.postgres import dumps

_COPY = re.compile(rb"COPY [^;\n]+ FROM stdin;\n")
#: Commands for psql around the script, which make it refuse other commands.
_RESTRICT = re.compile(rb"\\(un)?restrict [A-Za-z0-9]+\n")
#: Written by pg_restore 17 or newer, also for an older server.
_TRANSACTION_TIMEOUT = b"SET transaction_timeout = 0;\n"
_TRANSACTION_TIMEOUT_VERSION = 170_000


def restore(dsn: str, file: Path) -> None:
    """Restore a dump in one transaction into a database without its schemas.

    The database must have pgvector. Raises StorageError, SchemaError, ConfigurationError,
    DatabaseUnavailableError.
    """
    try:
        # In this order: an incomplete script is not committed.
        with connect(dsn) as connection, dumps.restore_script(dsn, file) as script:
            _load_extension(connection)
            _execute_script(connection, script)
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise StorageError(f"The dump cannot be restored: {reason}") from error


def _load_extension(connection: psycopg.Connection[TupleRow]) -> None:
    """Load pgvector into the session, by a value of its type."""
    schema = extension_schema_sync(connection)
    if schema is None:
        raise SchemaError("The database has no pgvector yet. Run: sightline migrate")
    connection.execute(sql.SQL("SELECT '[1]'::{}.vector").format(sql.Identifier(schema)))


def _execute_script(connection: psycopg.Connection[TupleRow], script: IO[bytes]) -> None:
    r"""Execute statements, and COPY with the data up to a line ``\.``."""
    is_known = connection.info.server_version >= _TRANSACTION_TIMEOUT_VERSION
    unknown = None if is_known else _TRANSACTION_TIMEOUT
    statements: list[bytes] = []
    for line in script:
        if _COPY.fullmatch(line):
            _execute(connection, statements)
            with connection.cursor().copy(line) as copy:
                for row in iter(script.readline, b"\\.\n"):
                    if not row:
                        raise StorageError("The dump is incomplete.")
                    copy.write(row)
        elif not _RESTRICT.fullmatch(line) and line != unknown:
            statements.append(line)
    _execute(connection, statements)


def _execute(connection: psycopg.Connection[TupleRow], statements: list[bytes]) -> None:
    connection.execute(b"".join(statements))
    statements.clear()
