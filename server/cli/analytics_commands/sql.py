"""``sightline sql``: open psql on the schema ``analytics`` with a read-only login."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.config import Settings, load_settings
from sightline.storage.errors import ConfigurationError

HELP = "open psql on the schema analytics (read-only)"

#: The same options as those of `grant-analyst` logins.
_OPTIONS = (
    "-c search_path=analytics,public -c default_transaction_read_only=on -c statement_timeout=60s"
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--command",
        dest="statements",
        action="append",
        default=[],
        metavar="SQL",
        help="run this statement and exit",
    )
    parser.add_argument("--csv", action="store_true", help="print rows as CSV")


def run(arguments: argparse.Namespace) -> int:
    """Run psql and return its exit code; without a terminal it reads stdin."""
    from sightline.server.database import schema_migration
    from sightline.server.database.provider import database_dsn
    from sightline.server.mcp_server.analytics_provider import require_read_only_login

    settings = load_settings()
    require_read_only_login(settings)
    with database_dsn(settings) as dsn:
        schema_migration.require_head(dsn)
        parameters = conninfo_to_dict(_analyst_dsn(settings, dsn))
        # Other users of the machine can see the command line, but not the environment.
        password = parameters.pop("password", None)
        environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
        command = [_find_psql(settings), "--quiet", make_conninfo("", **parameters)]
        command += ["--csv", "--no-psqlrc"] if arguments.csv else []
        if arguments.statements or not sys.stdin.isatty():  # fail on the first error in scripts
            command += ["--set", "ON_ERROR_STOP=1"]
        for statement in arguments.statements:
            command += ["--command", statement]
        with subprocess.Popen(command, env=environment) as psql:  # noqa: S603
            while True:
                try:
                    return psql.wait()
                except KeyboardInterrupt:
                    continue  # psql cancels the statement and goes on


def _analyst_dsn(settings: Settings, dsn: str) -> str:
    if settings.analytics.database_url is not None:
        return settings.analytics.database_url.get_secret_value()
    from sightline.storage.analytics.analyst_roles import shared_query_role

    return make_conninfo(dsn, user=asyncio.run(shared_query_role(dsn)), options=_OPTIONS)


def _find_psql(settings: Settings) -> str:
    """Return psql of the PATH or of the embedded Postgres."""
    path = shutil.which("psql")
    if path is None and settings.database.url is None:
        from sightline.storage.postgres.binaries import installed

        path = shutil.which(installed()[0].program("psql"))
    if path is None:
        raise ConfigurationError(
            "psql was not found. Install the Postgres client (postgresql-client on Debian and "
            "Ubuntu, libpq on Homebrew), or use another client with the connection string of "
            "sightline grant-analyst."
        )
    return path
