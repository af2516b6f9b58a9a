"""``sightline bind``: which collections a principal sees."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from sightline.server.config import load_settings
from sightline.storage.errors import ConfigurationError, UnknownNameError

HELP = "set which collections a principal sees; without arguments, list all bindings"


def configure(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> int:
    """Change the binding, and print all bindings."""
    action = arguments.collections or arguments.everything or arguments.nothing or arguments.release
    if bool(action) != (arguments.name is not None):
        raise ConfigurationError(
            "Give a principal with --collections, --everything, --nothing or --release, or no "
            "arguments at all."
        )
    print("\n".join(asyncio.run(_bind(arguments))))
    return 0


async def _bind(arguments: argparse.Namespace) -> list[str]:
    from sightline.server.database.provider import open_database
    from sightline.storage.db import row_security

    async with open_database(load_settings()) as database, database.connection() as connection:
        if arguments.everything:
            await row_security.bind_to_all_collections(connection, arguments.name)
        elif arguments.collections or arguments.nothing:
            await row_security.bind(connection, arguments.name, arguments.collections or ())
        elif arguments.release and not await row_security.remove_binding(
            connection, arguments.name
        ):
            known = await row_security.bindings(connection)
            raise UnknownNameError("binding of", arguments.name, known)
        return format_bindings(
            await row_security.bindings(connection), row_security.DEFAULT_PRINCIPAL
        )


def format_bindings(bindings: Mapping[str, Sequence[str] | None], others: str) -> list[str]:
    """Return one line per bound principal, and one for all others."""
    lines = [f"{name}: {_format(seen)}" for name, seen in bindings.items() if name != others]
    if others in bindings:
        rest = _format(bindings[others])
    else:
        rest = "nothing" if bindings else "everything, until the first principal is bound"
    return [*lines, f"all others: {rest}"]


def _format(collections: Sequence[str] | None) -> str:
    if collections is None:
        return "everything"
    return ", ".join(collections) or "nothing"
