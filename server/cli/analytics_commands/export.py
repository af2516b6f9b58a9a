"""``sightline export``: write a view of the schema ``analytics`` to a file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from sightline.server.config import Settings, load_settings

HELP = "write a view of the schema analytics, including vectors, to a file"

_FORMATS = ("csv", "jsonl", "npy", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", help="view, such as assets, searches or embeddings")
    parser.add_argument("--format", choices=_FORMATS, default="csv")
    parser.add_argument("--space", type=int, help="export one embedding space only")
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (default: VIEW.FORMAT)", metavar="FILE"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print the number of rows on stderr."""
    path = arguments.output or Path(f"{arguments.view}.{arguments.format}")
    rows = asyncio.run(_export(load_settings(), arguments, path))
    print(f"{rows:,} rows in {path}", file=sys.stderr)
    return 0


async def _export(settings: Settings, arguments: argparse.Namespace, path: Path) -> int:
    from sightline.server.database.provider import open_database
    from sightline.storage.analytics.view_export import export_view

    async with open_database(settings) as database:
        return await export_view(
            database, arguments.view, arguments.format, path, embedding_space=arguments.space
        )
