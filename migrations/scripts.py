"""Runs the SQL that stands beside a version: ``0001_initial.up.sql`` and ``.down.sql``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import psycopg
from alembic import op


def run_script(version: str, direction: Literal["up", "down"]) -> None:
    """Executes the SQL beside the version's file, any number of statements, in its transaction.

    Through the driver itself: SQLAlchemy would take colons and percent signs for parameters.
    """
    script = Path(version).with_suffix(f".{direction}.sql")
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"migrations run through psycopg, not {type(connection)}")
    connection.execute(script.read_bytes())
