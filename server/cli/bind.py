"""``sightline bind``: which collections a principal sees."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence

HELP = "say which collections a token's holder sees; without a name, list who sees what"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "name",
        metavar="PRINCIPAL",
        nargs="?",
        help="name of a token, jwt:SUBJECT of a signed one, or * for all who are not bound",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--collections", nargs="+", metavar="NAME", help="these and no others")
    what.add_argument(
        "--everything", action="store_true", help="every collection, those yet to be made as well"
    )
    what.add_argument("--nothing", action="store_true", help="none")
    what.add_argument("--release", action="store_true", help="forget the binding")


def run(arguments: argparse.Namespace) -> int:
    """Bind, and print who sees what from then on."""
    from sightline.server.config import settings
    from sightline.server.database.provider import database_dsn
    from sightline.storage.errors import ConfigurationError

    chosen = arguments.collections or arguments.everything or arguments.nothing or arguments.release
    if bool(chosen) != (arguments.name is not None):
        raise ConfigurationError(
            "give a principal with --collections, --everything, --nothing or --release, or neither"
        )
    with database_dsn(settings.load()) as dsn:
        for line in asyncio.run(_bind(dsn, arguments)):
            print(line)
    return 0


async def _bind(dsn: str, arguments: argparse.Namespace) -> list[str]:
    from sightline.storage.db import tenancy
    from sightline.storage.db.pool import Database
    from sightline.storage.errors import UnknownNameError

    database = await Database.open(dsn)
    try:
        async with database.connection() as connection:
            if arguments.everything:
                await tenancy.bind_to_everything(connection, arguments.name)
            elif arguments.collections or arguments.nothing:
                await tenancy.bind(connection, arguments.name, arguments.collections or ())
            elif arguments.release and not await tenancy.release(connection, arguments.name):
                known = await tenancy.bindings(connection)
                raise UnknownNameError("binding of", arguments.name, known)
            return listed(await tenancy.bindings(connection), tenancy.OTHERS)
    finally:
        await database.close()


def listed(bindings: Mapping[str, Sequence[str] | None], others: str) -> list[str]:
    """A line for each principal, and one for all the rest."""
    lines = [f"{name}: {_seen(seen)}" for name, seen in bindings.items() if name != others]
    if others in bindings:
        rest = _seen(bindings[others])
    else:
        rest = "nothing" if bindings else "everything, until somebody is bound"
    return [*lines, f"all others: {rest}"]


def _seen(collections: Sequence[str] | None) -> str:
    if collections is None:
        return "everything"
    return ", ".join(collections) or "nothing"
