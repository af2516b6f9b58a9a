"""Runs the ``.up.sql`` and ``.down.sql`` file of a schema version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import op


def sql_migration(version_file: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return ``upgrade`` and ``downgrade`` that run the SQL files of a version.

    ``version_file`` is the ``__file__`` of the version module.
    """

    def upgrade() -> None:
        _run(Path(version_file).with_suffix(".up.sql"))

    def downgrade() -> None:
        _run(Path(version_file).with_suffix(".down.sql"))

    return upgrade, downgrade


def _run(script: Path) -> None:
    # Use the driver directly: SQLAlchemy would parse colons and percent signs as parameters.
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError(f"Migrations need a psycopg connection, not {type(connection)}.")
    connection.execute(script.read_bytes())
