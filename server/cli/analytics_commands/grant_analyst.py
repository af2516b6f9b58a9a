"""``sightline grant-analyst``: a login for psql, a notebook or a BI tool."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config.settings import load

HELP = "make a login that reads the schema analytics and nothing else"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", help="lower-case letters, digits and _, such as alice")
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument(
        "--collections", nargs="+", metavar="NAME", help="the only collections that it is to see"
    )
    bound.add_argument(
        "--all-collections", action="store_true", help="free it from the collections it is bound to"
    )


def run(arguments: argparse.Namespace) -> int:
    """The connection string on stdout, alone, so that it can be piped; it is shown this once."""
    from sightline.server.database.provider import database_dsn
    from sightline.storage.analytics.analyst_roles import grant

    settings = load()
    with database_dsn(settings) as dsn:
        granted = asyncio.run(
            grant(
                dsn,
                arguments.name,
                collections=arguments.collections,
                everything=arguments.all_collections,
            )
        )
    if settings.database_url is None:
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
