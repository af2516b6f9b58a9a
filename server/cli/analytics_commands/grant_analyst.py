"""``sightline grant-analyst``: create a login for psql, a notebook or a BI tool."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config import load_settings

HELP = "create a login that can read the schema analytics only"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of lower-case letters, digits and _, such as alice")
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--collections", nargs="+", metavar="NAME", help="only these collections")
    bound.add_argument(
        "--all-collections",
        action="store_true",
        help="all collections; removes an existing binding",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the connection string on stdout, and hints on stderr."""
    from sightline.server.database.provider import database_dsn
    from sightline.storage.analytics.analyst_roles import grant_analyst

    settings = load_settings()
    with database_dsn(settings) as dsn:
        granted = asyncio.run(
            grant_analyst(
                dsn,
                arguments.name,
                collections=arguments.collections,
                everything=arguments.all_collections,
            )
        )
    if settings.database.url is None:
        print(
            "The embedded Postgres runs only while a Sightline process runs, and accepts only the "
            "owner of the data folder.",
            file=sys.stderr,
        )
    print(
        f"{arguments.name} can read the schema analytics. Store this connection string; it "
        "contains the password. To create a new password, run the command again.",
        file=sys.stderr,
    )
    print(granted)
    return 0
