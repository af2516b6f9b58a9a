"""``sightline migrate``: bring the database's schema to this version."""

from __future__ import annotations

import argparse

from sightline.server.settings import load

HELP = "bring the database's schema to the one that this version needs"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--revision", default="head", help="upgrade to this revision instead (default: head)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Upgrade the given database, or the embedded one of the data folder."""
    from sightline.server import migrate
    from sightline.server.databases import reachable

    with reachable(load()) as dsn:
        migrate.upgrade(dsn, arguments.revision)
    print(f"The schema is at {migrate.head()}.")
    return 0
