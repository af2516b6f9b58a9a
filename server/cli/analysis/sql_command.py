"""``sightline sql``: psql with a read-only login."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.config import Settings, load_settings
from sightline.server.database import schema_migration
from sightline.server.database.provider import database_dsn
from sightline.storage.errors import ConfigurationError

#: The same options as those of `grant-analyst` logins.
_SQL_OPTIONS = "-c search_path={path} -c default_transaction_read_only=on -c statement_timeout=60s"
#: Options that psql gets as they are: argparse name, option of psql and help.
_FLAGS = (
    ("tuples_only", "-t", "print rows only, without headers"),
    ("unaligned", "-A", "print rows without padding, with | between the columns"),
    ("expanded", "-x", "print each column on its own line"),
)


def configure_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--command",
        dest="statements",
        action="append",
        default=[],
        metavar="SQL",
        help="run this statement and exit; with -v it may contain :NAME and :'NAME'",
    )
    parser.add_argument(
        "-f", "--file", action="append", default=[], metavar="FILE", help="run a script of psql"
    )
    parser.add_argument(
        "-v",
        "--set",
        dest="variables",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable of psql: :'NAME' in a statement is its value as a literal",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the rows to a file")
    for name, option, help_ in _FLAGS:
        parser.add_argument(option, dest=name, action="store_true", help=help_)
    parser.add_argument(
        "-F", "--field-separator", metavar="TEXT", help="separator of the columns with -A"
    )
    parser.add_argument("--csv", action="store_true", help="print rows as CSV")


def run_sql(arguments: argparse.Namespace) -> int:
    """Run psql and return its exit code; without a terminal it reads stdin."""
    settings = load_settings()
    with analyst_dsn(settings) as dsn, ExitStack() as open_:
        parameters = conninfo_to_dict(dsn)
        # Other users of the machine can see the command line, but not the environment.
        password = parameters.pop("password", None)
        environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
        command = [_find_psql(settings), "--quiet", make_conninfo("", **parameters)]
        scripts = [open_.enter_context(_script(each)) for each in _scripts(arguments)]
        command += _options(arguments, scripts)
        with subprocess.Popen(  # noqa: S603
            command, env=environment, pass_fds=[each.fileno() for each in scripts]
        ) as psql:
            while True:
                try:
                    return psql.wait()
                except KeyboardInterrupt:
                    continue  # psql cancels the statement and goes on


def _scripts(arguments: argparse.Namespace) -> Sequence[str]:
    """Return the statements that need variables, which psql replaces in scripts."""
    return arguments.statements if arguments.variables else ()


def _options(arguments: argparse.Namespace, scripts: Sequence[IO[str]]) -> list[str]:
    options = [option for name, option, _ in _FLAGS if getattr(arguments, name)]
    options += ["--csv"] if arguments.csv else []
    for option, value in (("-o", arguments.output), ("-F", arguments.field_separator)):
        options += [option, value] if value is not None else []
    is_script = bool(arguments.statements or arguments.file or not sys.stdin.isatty())
    if is_script or arguments.csv or arguments.unaligned or arguments.tuples_only:
        options.append("--no-psqlrc")
    if is_script:  # fail on the first error
        options += ["--set", "ON_ERROR_STOP=1"]
    for variable in arguments.variables:
        if not variable.partition("=")[0].isidentifier():
            raise ConfigurationError(f"-v takes NAME=VALUE, such as -v limit=10, not {variable!r}.")
        options += ["--set", variable]
    if scripts:
        for script in scripts:
            options += ["--file", f"/dev/fd/{script.fileno()}"]
    else:
        for statement in arguments.statements:
            options += ["--command", statement]
    for path in arguments.file:
        options += ["--file", path]
    return options


@contextmanager
def _script(statement: str) -> Iterator[IO[str]]:
    """Open a temporary file with a statement."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        file.write(f"{statement}\n;\n")
        file.seek(0)
        yield file


@contextmanager
def analyst_dsn(settings: Settings) -> Iterator[str]:
    """Yield the connection string of a login that reads the schema ``analytics``.

    An embedded Postgres runs during the block. Raises ConfigurationError if an external database
    has no such login in the settings, and SchemaError for an old schema.
    """
    from sightline.server.mcp_server.principals import require_read_only_login

    require_read_only_login(settings)
    with database_dsn(settings) as dsn:
        schema_migration.require_head(dsn)
        if settings.analytics.database_url is not None:
            yield settings.analytics.database_url.get_secret_value()
        else:
            yield _local_analyst_dsn(dsn)


def _local_analyst_dsn(dsn: str) -> str:
    from sightline.storage.analytics.analyst_roles import shared_query_role
    from sightline.storage.db.connect import connect
    from sightline.storage.db.schema_safety import extension_schema_sync, search_path

    role = asyncio.run(shared_query_role(dsn))
    with connect(dsn) as connection:
        path = search_path("analytics", extension_schema_sync(connection) or "analytics")
    options = _SQL_OPTIONS.format(path=path.replace("\\", r"\\").replace(" ", r"\ "))
    return make_conninfo(dsn, user=role, options=options)


def _find_psql(settings: Settings) -> str:
    """Return psql of the PATH or of the embedded Postgres."""
    path = shutil.which("psql")
    if path is None and settings.database.url is None:
        from sightline.storage.postgres.programs import installed

        path = shutil.which(installed()[0].program("psql"))
    if path is None:
        raise ConfigurationError(
            "psql was not found. Install the Postgres client (postgresql-client on Debian and "
            "Ubuntu, libpq on Homebrew), or use another client with the connection string of "
            "sightline grant-analyst."
        )
    return path
