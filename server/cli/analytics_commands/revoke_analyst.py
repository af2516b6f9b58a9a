"""``sightline revoke-analyst``: delete a login of ``grant-analyst``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config import load_settings

HELP = "delete a login of grant-analyst and end its sessions"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the login, such as alice")


def run(arguments: argparse.Namespace) -> int:
    """Delete the login."""
    from sightline.server.database.provider import database_dsn
    from sightline.storage.analytics.analyst_roles import revoke_analyst

    with database_dsn(load_settings()) as dsn:
        asyncio.run(revoke_analyst(dsn, arguments.name))
    print(f"Deleted the login {arguments.name}.", file=sys.stderr)
    return 0
