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

#: Module of each command, in the order of the help text.
_COMMANDS = {
    "demo": "demo.demo_command",
    "ingest": "ingest",
    "serve": "serve",
    "connect": "connect",
    "token": "token",
    "bind": "bind",
    "search": "search",
    "show": "show",
    "doctor": "doctor",
    "migrate": "database_commands.migrate",
    "check": "database_commands.check",
    "backup": "database_commands.backup",
    "restore": "database_commands.restore",
    "analyze": "analytics_commands.analyze",
    "atlas": "analytics_commands.atlas",
    "sql": "analytics_commands.sql",
    "export": "analytics_commands.export",
    "export-annotations": "analytics_commands.export_annotations",
    "eval": "eval",
    "grant-analyst": "analytics_commands.grant_analyst",
    "revoke-analyst": "analytics_commands.revoke_analyst",
    "world": "demo.world",
    "vlm": "model_commands.vlm",
}


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
    for name, path in _COMMANDS.items():
        module: Command = import_module(f"sightline.server.cli.{path}")
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
