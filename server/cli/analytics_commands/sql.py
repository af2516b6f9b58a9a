"""``sightline sql``: psql on the schema ``analytics``, as a login that may only read."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.config.settings import Settings, load
from sightline.storage.errors import ConfigurationError

HELP = "open psql on the schema analytics, read only"

#: As `grant-analyst` sets them for the logins that it makes.
_OPTIONS = (
    "-c search_path=analytics,public -c default_transaction_read_only=on -c statement_timeout=60s"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "-c",
        "--command",
        dest="statements",
        action="append",
        default=[],
        metavar="SQL",
        help="run this and leave",
    )
    parser.add_argument("--csv", action="store_true", help="print rows as CSV")


def run(arguments: argparse.Namespace) -> int:
    """Psql's own exit code; without a terminal it reads statements from standard input."""
    from sightline.server.database import schema_migration
    from sightline.server.database.provider import database_dsn
    from sightline.server.mcp_server.analytics_provider import require_given_login

    settings = load()
    require_given_login(settings)
    with database_dsn(settings) as dsn:
        schema_migration.require_head(dsn)
        address = conninfo_to_dict(_address(settings, dsn))
        # Where others on the machine do not see it, as they do a command line.
        password = address.pop("password", None)
        environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
        words = [_psql(settings), "--quiet", make_conninfo("", **address)]
        words += ["--csv", "--no-psqlrc"] if arguments.csv else []
        if arguments.statements or not sys.stdin.isatty():  # a script is to notice what fails
            words += ["--set", "ON_ERROR_STOP=1"]
        words += [word for text in arguments.statements for word in ("--command", text)]
        with subprocess.Popen(words, env=environment) as psql:  # noqa: S603
            while True:
                try:
                    return psql.wait()
                except KeyboardInterrupt:
                    continue  # ends a statement within psql, which goes on


def _address(settings: Settings, dsn: str) -> str:
    if settings.analytics_database_url is not None:
        return settings.analytics_database_url.get_secret_value()
    from sightline.storage.analytics.analyst_roles import query_login

    return make_conninfo(dsn, user=asyncio.run(query_login(dsn)), options=_OPTIONS)


def _psql(settings: Settings) -> str:
    """The one on the path, or the one that our own Postgres comes with."""
    found = shutil.which("psql")
    if found is None and settings.database_url is None:
        from sightline.storage.postgres.binaries import installed

        found = shutil.which(installed()[0].program("psql"))
    if found is None:
        raise ConfigurationError(
            "psql is not on the path; install Postgres' client programs (postgresql-client on "
            "Debian and Ubuntu, libpq on Homebrew), or use any other client with the address that "
            "sightline grant-analyst prints"
        )
    return found
