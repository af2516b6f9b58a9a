"""The ``sightline`` command line; imports only the module of the given command."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from sightline.server.cli.command_table import COMMANDS, epilog, overview
from sightline.server.config.config_file import CONFIG_VARIABLE
from sightline.server.config.package_version import package_version
from sightline.server.observability import logs, terminal
from sightline.storage.errors import SightlineError, describe, shown

_OVERVIEW_OPTIONS = frozenset({"-h", "--help", "--version"})


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands; with ``only``, the arguments of one command."""
    parser = _OverviewParser(prog="sightline", add_help=True)
    _add_config_option(parser)
    parser.add_argument("--version", action="version", version=f"sightline {package_version()}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser
    )
    for name, each in COMMANDS.items():
        command = commands.add_parser(name, description=each.description or each.help)
        _add_config_option(command)
        if only in (None, name):
            module = import_module(f"sightline.server.cli.{each.module}")
            getattr(module, f"configure_{each.suffix}", lambda _: None)(command)
            command.set_defaults(run=getattr(module, f"run_{each.suffix}"))
    return parser


class _CommandParser(terminal.Parser):
    """The parser of a command or of one of its actions, with examples and exit codes."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog=prog, epilog=epilog(prog), **options)


class _OverviewParser(terminal.Parser):
    """The parser of ``sightline``, whose help is the table of commands."""

    def format_help(self) -> str:
        return overview()


def _add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"configuration file ({CONFIG_VARIABLE}; see sightline config)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return one of `EXIT_CODES`.

    A `SightlineError` is printed on stderr with exit code 2, as is the help without a command.
    """
    words = sys.argv[1:] if argv is None else argv
    pairs = zip(["", *words], words, strict=False)
    command = next(
        (word for previous, word in pairs if word[:1] != "-" and previous != "--config"), ""
    )
    if not words:
        terminal.write_lines(overview().rstrip("\n"), error=True)
        return 2
    if command and command not in COMMANDS and _OVERVIEW_OPTIONS.isdisjoint(words):
        close = " or ".join(get_close_matches(command, COMMANDS, n=2))
        hint = f"Did you mean {close}? " if close else ""
        terminal.write_lines(
            f"sightline: Unknown command {shown(command)}. {hint}All commands: sightline --help",
            error=True,
        )
        return 2
    only = None if command and command not in COMMANDS else command
    logs.escape_unconfigured()
    arguments = build_parser(only).parse_args(argv)
    if "config" in arguments:
        # An environment variable, so that child processes use the same file.
        os.environ[CONFIG_VARIABLE] = arguments.config
    try:
        result = arguments.run(arguments)
        return int((asyncio.run(result) if inspect.iscoroutine(result) else result) or 0)
    except SightlineError as error:
        first, *more = describe(error).split("\n")
        # Indented, so that no line of the message passes for one of the command.
        lines = (f"sightline {arguments.command}: {first}", *(f"    {line}" for line in more))
        terminal.write_lines(*lines, error=True)
        logging.getLogger(__name__).debug("details", exc_info=True)
        return 2
    except KeyboardInterrupt:
        terminal.write_lines(f"sightline {arguments.command}: stopped", error=True)
        return 130
    except BrokenPipeError:
        terminal.close_stderr()
        return 141
    except Exception as error:  # noqa: BLE001
        terminal.write_traceback(error)
        return 70
