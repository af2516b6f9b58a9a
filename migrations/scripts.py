"""Runs a version's SQL, which stands in a file of its own."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, LiteralString, cast

import psycopg
from alembic import op


def run_script(name: str) -> None:
    """Executes ``versions/<name>``, any number of statements, in the migration's transaction.

    Through the driver itself: SQLAlchemy would take colons and percent signs for parameters.
    """
    text = files("sightline.migrations").joinpath("versions", name).read_text(encoding="utf-8")
    connection: psycopg.Connection[Any] = op.get_bind().connection.driver_connection
    connection.execute(cast("LiteralString", text))  # ours and fixed
