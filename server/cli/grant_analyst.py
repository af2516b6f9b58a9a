"""``sightline grant-analyst``: a login for psql, a notebook or a BI tool."""

from __future__ import annotations

import argparse
import sys

from sightline.server.settings import load

HELP = "make a login that reads the schema analytics and nothing else"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", help="lower-case letters, digits and _, such as alice")


def run(arguments: argparse.Namespace) -> int:
    """The connection string on stdout, alone, so that it can be piped; it is shown this once."""
    from sightline.storage.analytics.roles import grant
    from sightline.storage.postgres import EmbeddedPostgres

    settings = load()
    if settings.database_url is not None:
        granted = grant(settings.database_url.get_secret_value(), arguments.name)
    else:
        with EmbeddedPostgres(settings.data_dir) as postgres:
            granted = grant(postgres.dsn(), arguments.name)
        print(
            "Sightline's own Postgres runs while a Sightline process does, and only the owner of "
            "its data folder reaches it.",
            file=sys.stderr,
        )
    print(
        f"{arguments.name} may read the schema analytics. Keep this; it holds the password. "
        "The same command again makes a new one.",
        file=sys.stderr,
    )
    print(granted)
    return 0
