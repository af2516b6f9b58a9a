"""``sightline migrate``: upgrade the database schema."""

from __future__ import annotations

import argparse

from sightline.server.config import load_settings

HELP = "upgrade the database schema to this version"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", default="head", help="target revision (default: head)")


def run(arguments: argparse.Namespace) -> int:
    """Upgrade the configured or the embedded database."""
    from sightline.server.database import schema_migration
    from sightline.server.database.provider import database_dsn

    with database_dsn(load_settings()) as dsn:
        schema_migration.upgrade(dsn, arguments.revision)
    print(f"The schema is at {schema_migration.head()}.")
    return 0
