"""The ``sightline`` command line. Each command is one module with lazy imports."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

from sightline.server.config.settings import CONFIG_VARIABLE
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
    "config": "config",
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
    """Interface of a command module."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return the exit code."""
        ...


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands; with ``only``, the arguments of one command.

    Some commands import slow modules to declare their arguments.
    """
    parser = argparse.ArgumentParser(
        prog="sightline",
        description="Search images, documents and video from any AI agent over MCP.",
        epilog="Settings are environment variables (SIGHTLINE_...) or keys of sightline.toml. "
        "`sightline config` prints them.",
    )
    _add_config_option(parser)
    parser.add_argument("--version", action="version", version=f"sightline {version('sightline')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, path in _COMMANDS.items():
        module: Command = import_module(f"sightline.server.cli.{path}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        _add_config_option(command)
        if only in (None, name):
            module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def _add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"configuration file ({CONFIG_VARIABLE}; see sightline config)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. A `SightlineError` is printed on stderr with exit code 2."""
    words = sys.argv[1:] if argv is None else argv
    pairs = zip(["", *words], words, strict=False)
    command = next(
        (word for previous, word in pairs if word[:1] != "-" and previous != "--config"), None
    )
    arguments = build_parser(command if command in _COMMANDS else None).parse_args(argv)
    if "config" in arguments:
        # An environment variable, so that child processes use the same file.
        os.environ[CONFIG_VARIABLE] = arguments.config
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
        # The reader of the output, such as head, has closed the pipe.
        sys.stderr.close()
        return 141
