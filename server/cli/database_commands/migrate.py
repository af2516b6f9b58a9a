"""``sightline migrate``: bring the database's schema to this version."""

from __future__ import annotations

import argparse

from sightline.server.config.settings import load

HELP = "bring the database's schema to the one that this version needs"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--revision", default="head", help="upgrade to this revision instead (default: head)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Upgrade the given database, or the embedded one of the data folder."""
    from sightline.server.database import schema_migration
    from sightline.server.database.provider import database_dsn

    with database_dsn(load()) as dsn:
        schema_migration.upgrade(dsn, arguments.revision)
    print(f"The schema is at {schema_migration.head()}.")
    return 0
