"""The ``sightline`` command. Each module here is one command; none imports torch to parse."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

from sightline.storage.errors import SightlineError

#: In the order in which a newcomer meets them.
_COMMANDS = (
    "demo",
    "ingest",
    "serve",
    "connect",
    "token",
    "bind",
    "search",
    "show",
    "doctor",
    "migrate",
    "check",
    "backup",
    "restore",
    "analyze",
    "atlas",
    "sql",
    "export",
    "export-annotations",
    "eval",
    "grant-analyst",
    "revoke-analyst",
    "world",
    "vlm",
)


class Command(Protocol):
    """What a module of this package offers."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code."""
        ...


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with ``only``, the arguments of that command alone.

    Some arguments come from rooms that take long to import, which a server's start need not do.
    """
    parser = argparse.ArgumentParser(
        prog="sightline",
        description="Eyes over pictures, documents and video for any AI agent, over MCP.",
        epilog="Settings are environment variables, SIGHTLINE_...; the README lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"sightline {version('sightline')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        module: Command = import_module(f"sightline.server.cli.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        if only in (None, name):
            module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Errors that Sightline names go to stderr in one line, exit code 2."""
    words = sys.argv[1:] if argv is None else argv
    named = next((word for word in words if not word.startswith("-")), None)
    arguments = build_parser(named if named in _COMMANDS else None).parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except SightlineError as error:
        print(f"sightline {arguments.command}: {error}", file=sys.stderr)
        logging.getLogger(__name__).debug("details", exc_info=True)
        return 2
    except KeyboardInterrupt:
        print(f"sightline {arguments.command}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has left; what is unwritten has nobody to read it.
        sys.stderr.close()
        return 141
