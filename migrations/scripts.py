"""Runs a version's SQL, which stands in a file of its own."""

from __future__ import annotations

from importlib.resources import files

import psycopg
from alembic import op


def run_script(name: str) -> None:
    """Executes ``versions/<name>``, any number of statements, in the migration's transaction.

    Through the driver itself: SQLAlchemy would take colons and percent signs for parameters.
    """
    text = files("sightline.migrations").joinpath("versions", name).read_text(encoding="utf-8")
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"migrations run through psycopg, not {type(connection)}")
    connection.execute(text.encode())
