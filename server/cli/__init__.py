"""The ``sightline`` command line; imports only the module of the given command."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from sightline.server.config.config_file import CONFIG_VARIABLE
from sightline.server.observability import logs, terminal
from sightline.storage.errors import SightlineError, describe

#: Module and help text of each command. The module defines ``run_COMMAND``, which may be async and
#: may return an exit code, and ``configure_COMMAND`` if there are arguments.
_COMMANDS = {
    "demo": (
        "demo.demo_command",
        "serve demo images and call every tool (built-in models, no download)",
    ),
    "ingest": ("library.ingest", "add images, documents, video, sound and text to a collection"),
    "failures": (
        "library.ingest",
        "list the files that failed and the pages that could not be read",
    ),
    "serve": (
        "serving.serve",
        "run the MCP server over stdio, or with --http over streamable HTTP",
    ),
    "connect": (
        "connect.connect_command",
        "add the server to an MCP client, or list the clients of this machine",
    ),
    "token": ("admin.access_commands", "create a bearer token for the HTTP server"),
    "bind": (
        "admin.access_commands",
        "set which collections a principal sees; without arguments, list all bindings",
    ),
    "search": ("library.search", "search images (or, with --text, passages) and print a table"),
    "show": ("library.search", "show the properties of one asset"),
    "doctor": (
        "admin.doctor",
        "check database, models and settings, and explain how to fix problems",
    ),
    "config": ("admin.config", "print all settings with their values and sources"),
    "migrate": ("admin.database_commands", "upgrade the database schema to this version"),
    "check": (
        "admin.database_commands",
        "check the consistency of tables, vectors and stored files",
    ),
    "backup": ("admin.database_commands", "write the database and the stored files into one file"),
    "restore": ("admin.database_commands", "restore a backup"),
    "analyze": (
        "analysis.analytics_commands",
        "cluster the images of collections and find near-duplicates",
    ),
    "atlas": (
        "analysis.analytics_commands",
        "draw a map of a collection: one HTML file that shows images on hover",
    ),
    "sql": ("analysis.analytics_commands", "open psql on the schema analytics (read-only)"),
    "export": (
        "analysis.analytics_commands",
        "write a view of the schema analytics, including vectors, to a file",
    ),
    "export-annotations": (
        "library.export_annotations",
        "write saved annotations and their images in COCO or LLaVA format",
    ),
    "eval": ("analysis.eval", "measure retrieval and answers on your own queries"),
    "grant-analyst": (
        "admin.access_commands",
        "create a login that can read the schema analytics only",
    ),
    "revoke-analyst": (
        "admin.access_commands",
        "delete a login of grant-analyst and end its sessions",
    ),
    "world": ("demo.world", "draw synthetic images with exact captions, questions and boxes"),
    "models": (
        "model_commands.models_command",
        "list, download, convert and remove models",
    ),
    "vlm": ("serving.vlm", "serve a vision-language model for answer_question"),
}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands; with ``only``, the arguments of one command."""
    parser = terminal.Parser(
        prog="sightline",
        description="Search images, documents and video from any AI agent over MCP.",
        epilog="Settings are environment variables (SIGHTLINE_...) or keys of sightline.toml. "
        "`sightline config` prints them.",
    )
    _add_config_option(parser)
    parser.add_argument("--version", action="version", version=f"sightline {version('sightline')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (path, help_) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_, description=help_)
        _add_config_option(command)
        if only in (None, name):
            module = import_module(f"sightline.server.cli.{path}")
            suffix = name.replace("-", "_")
            getattr(module, f"configure_{suffix}", lambda _: None)(command)
            command.set_defaults(run=getattr(module, f"run_{suffix}"))
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
        (word for previous, word in pairs if word[:1] != "-" and previous != "--config"), ""
    )
    only = None if command and command not in _COMMANDS else command
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
        return 1
