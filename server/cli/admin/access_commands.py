"""Access: ``sightline token``, ``bind``, ``grant-analyst`` and ``revoke-analyst``."""

from __future__ import annotations

import argparse

from sightline.server.auth.static_tokens import issue_token
from sightline.server.config import load_settings
from sightline.server.database.provider import database_dsn, open_database
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.analytics import analyst_roles
from sightline.storage.db import row_security
from sightline.storage.errors import ConfigurationError, UnknownNameError


def configure_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the principal, used in logs")
    parser.add_argument(
        "--scopes",
        nargs="+",
        default=["read"],
        metavar="SCOPE",
        help="read, write, analytics, metrics (default: read)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_token(arguments: argparse.Namespace) -> None:
    """Print the line for the token file on stdout, and the secret token on stderr."""
    secret, stored = issue_token(arguments.name, arguments.scopes)
    if arguments.json:
        write_json({"name": stored.name, "token": secret, "line": str(stored)})
        return
    write_lines(
        f"To choose its collections: sightline bind {stored.name}",
        f"Token for {stored.name}. It is shown only once:",
        secret,
        error=True,
    )
    write_lines(str(stored))


def configure_bind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="PRINCIPAL",
        nargs="?",
        help="name of a static token, jwt:SUBJECT of a signed token, or * for all others",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--collections", nargs="+", metavar="NAME", help="only these collections")
    what.add_argument("--everything", action="store_true", help="all collections, also future ones")
    what.add_argument("--nothing", action="store_true", help="no collection")
    what.add_argument("--release", action="store_true", help="remove the binding")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_bind(arguments: argparse.Namespace) -> None:
    """Change the binding, and print all bindings."""
    name, collections = arguments.name, arguments.collections
    action = collections or arguments.everything or arguments.nothing or arguments.release
    if bool(action) != (name is not None):
        raise ConfigurationError(
            "Give a principal with --collections, --everything, --nothing or --release, or no "
            "arguments at all."
        )
    async with open_database(load_settings()) as database, database.connection() as connection:
        if arguments.everything:
            await row_security.bind_to_all_collections(connection, name)
        elif collections or arguments.nothing:
            await row_security.bind(connection, name, collections or ())
        elif arguments.release and not await row_security.remove_binding(connection, name):
            known = await row_security.bindings(connection)
            raise UnknownNameError("binding of", name, known)
        bindings = await row_security.bindings(connection)
    if arguments.json:
        write_json({"bindings": bindings})
        return
    others = "nothing" if bindings else "everything, until the first principal is bound"
    lines = {
        bound: "everything" if names is None else ", ".join(names) or "nothing"
        for bound, names in bindings.items()
    }
    lines["all others"] = lines.pop(row_security.DEFAULT_PRINCIPAL, others)
    write_lines(*(f"{bound}: {names}" for bound, names in lines.items()))


def configure_grant_analyst(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of lower-case letters, digits and _, such as alice")
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--collections", nargs="+", metavar="NAME", help="only these collections")
    bound.add_argument(
        "--all-collections",
        action="store_true",
        help="all collections; removes an existing binding",
    )
    parser.add_argument(
        "--schema",
        metavar="NAME",
        help="create this schema, in which the login may create tables, views and indexes",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_grant_analyst(arguments: argparse.Namespace) -> None:
    """Print the URL on stdout, and hints on stderr."""
    settings = load_settings()
    with database_dsn(settings) as dsn:
        granted = await analyst_roles.grant_analyst(
            dsn,
            arguments.name,
            collections=arguments.collections,
            everything=arguments.all_collections,
            schema=arguments.schema,
        )
    if settings.database.url is None:
        write_lines(
            "The embedded Postgres runs only while a Sightline process runs, and accepts only the "
            "owner of the data folder.",
            error=True,
        )
    if arguments.json:
        write_json({"login": arguments.name, "url": granted})
        return
    write_lines(
        f"{arguments.name} can read the schema analytics. Store this address; it contains the "
        "password. To create a new password, run the command again. For SQLAlchemy write "
        "postgresql+psycopg:// at its beginning.",
        error=True,
    )
    write_lines(granted)


def configure_revoke_analyst(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the login, such as alice")
    parser.add_argument(
        "--drop-owned",
        action="store_true",
        help="also delete the schemas, tables and views that the login owns",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_revoke_analyst(arguments: argparse.Namespace) -> None:
    with database_dsn(load_settings()) as dsn:
        dropped = await analyst_roles.revoke_analyst(
            dsn, arguments.name, drop_owned=arguments.drop_owned
        )
    if arguments.json:
        write_json({"login": arguments.name, "dropped": dropped})
        return
    write_lines(f"Deleted the login {arguments.name}.", error=True)
    write_lines(*(f"Deleted with it: {each}" for each in dropped), error=True)
