"""Single connections with the rights of the server.

A session starts with the search path of the database, in which others may create functions and
operators. These connections replace it before their first query, so statements on them qualify
every name outside the system catalog.
"""

from __future__ import annotations

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

# A utility statement: it looks up no function and no operator.
_SAFE_PATH = "SET search_path = pg_catalog, pg_temp"


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """Open a connection that finds only the system catalog."""
    connection = psycopg.connect(dsn, autocommit=True)
    try:
        connection.execute(_SAFE_PATH)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(dsn: str) -> AsyncConnection[TupleRow]:
    """Do the same as ``connect`` for an event loop."""
    connection = await AsyncConnection.connect(dsn, autocommit=True)
    try:
        await connection.execute(_SAFE_PATH)
        await connection.set_autocommit(False)
    except BaseException:
        await connection.close()
        raise
    return connection
