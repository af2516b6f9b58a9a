"""``sightline revoke-analyst``: takes back what ``grant-analyst`` made."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config.settings import load

HELP = "drop a login of grant-analyst, and end what it is doing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", help="such as alice")


def run(arguments: argparse.Namespace) -> int:
    """Drop it, and say so on stderr."""
    from sightline.server.database.provider import database_dsn
    from sightline.storage.analytics.analyst_roles import revoke

    with database_dsn(load()) as dsn:
        asyncio.run(revoke(dsn, arguments.name))
    print(f"{arguments.name} is gone.", file=sys.stderr)
    return 0
