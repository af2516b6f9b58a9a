"""``sightline export``: a view or a query of the schema ``analytics`` as a file."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import get_args

from sightline.server.cli.analysis.sql_command import analyst_dsn
from sightline.server.config import load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.errors import ConfigurationError
from sightline.storage.types import Level


def configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "view", nargs="?", help="view, such as collections, assets, searches or embeddings"
    )
    parser.add_argument(
        "--query", metavar="SQL", help="instead of a view: one query, run with a read-only login"
    )
    parser.add_argument("--collection", metavar="NAME", help="rows of this collection only")
    parser.add_argument(
        "--level", choices=get_args(Level), help="vectors of whole assets, regions or passages only"
    )
    parser.add_argument(
        "--space", type=int, metavar="ID", help="vectors of this embedding space only"
    )
    parser.add_argument("--format", choices=("csv", "jsonl", "npy", "parquet"), default="csv")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="file to write (default: VIEW.FORMAT or query.FORMAT)",
        metavar="FILE",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_export(arguments: argparse.Namespace) -> None:
    """Write the file, and print the number of rows on stderr."""
    conditions = (arguments.collection, arguments.level, arguments.space)
    if (arguments.view is None) == (arguments.query is None):
        raise ConfigurationError("Give a view, such as 'assets', or --query SQL.")
    if arguments.query is not None and any(each is not None for each in conditions):
        raise ConfigurationError(
            "--collection, --level and --space are for views. Write WHERE in the query."
        )
    path = arguments.output or Path(f"{arguments.view or 'query'}.{arguments.format}")
    if arguments.query is None:
        rows = asyncio.run(_export_view(arguments, path))
    else:
        with analyst_dsn(load_settings()) as dsn:
            rows = asyncio.run(_export_query(dsn, arguments, path))
    write_lines(f"{rows:,} rows in {path}", error=True)
    if arguments.json:
        write_json({"file": str(path), "rows": rows})


async def _export_view(arguments: argparse.Namespace, path: Path) -> int:
    from sightline.storage.analytics.export import export_view

    async with open_database(load_settings()) as database:
        return await export_view(
            database,
            arguments.view,
            arguments.format,
            path,
            collection=arguments.collection,
            level=arguments.level,
            embedding_space=arguments.space,
        )


async def _export_query(dsn: str, arguments: argparse.Namespace, path: Path) -> int:
    from sightline.storage.analytics.export import export_query

    return await export_query(dsn, arguments.query, arguments.format, path)
