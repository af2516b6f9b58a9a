"""Single connections with the rights of the server.

A session starts with the search path of the database, in which others may create functions and
operators. These connections replace it before their first query, so statements on them qualify
every name outside the system catalog.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
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


def connection_url(dsn: str, **changes: str) -> str:
    """Return the URL of a connection string, with some values replaced.

    psql, drivers and BI tools take it; SQLAlchemy takes it with ``postgresql+psycopg://``.
    """
    values = {
        name: str(value)
        for name, value in (conninfo_to_dict(dsn) | changes).items()
        if value is not None
    }
    user, password, database = (values.pop(each, "") for each in ("user", "password", "dbname"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    host = values.get("host", "")
    address = ""
    if host and "/" not in host and "," not in host:  # not a socket, and one server
        port = values.pop("port", "")
        address = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        del values["host"]
    query = f"?{urlencode(values, quote_via=quote)}" if values else ""
    return f"postgresql://{login}@{address}/{quote(database, safe='')}{query}"
