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
    from sightline.storage.postgres import EmbeddedPostgres

    settings = load()
    if settings.database_url is not None:
        _upgrade(settings.database_url.get_secret_value(), arguments.revision)
    else:
        with EmbeddedPostgres(settings.data_dir) as postgres:
            _upgrade(postgres.dsn(), arguments.revision)
    print(f"The schema is at {migrate.head()}.")
    return 0


def _upgrade(dsn: str, revision: str) -> None:
    from sightline.server import migrate

    migrate.upgrade(dsn, revision)
